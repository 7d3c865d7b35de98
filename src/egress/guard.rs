//! Which addresses may be called.
