//! The ports of Phoenix as exams, and the world harness.
