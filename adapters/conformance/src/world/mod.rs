//! Whole worlds of homeservers and clients, in one thread, with faults.
