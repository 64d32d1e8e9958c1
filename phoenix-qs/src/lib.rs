//! The queuing service: pseudonymous queues.
