//! The Store of Phoenix on SQLite, with group commit.
