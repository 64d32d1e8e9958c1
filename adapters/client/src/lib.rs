//! The reference client of Phoenix, on OpenMLS.
