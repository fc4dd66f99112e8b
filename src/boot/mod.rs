//! The boot stage.
