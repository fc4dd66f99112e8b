//! The smoke stage.
