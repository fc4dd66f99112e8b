//! The artefact stage.
