//! The kconfig stage.
