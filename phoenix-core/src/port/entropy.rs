//! The port to randomness.

/// Fills buffers with bytes that nobody can predict.
///
/// The driver draws one seed an attempt from it; everything random in that attempt grows from the seed, so
/// that an attempt can be repeated exactly.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

impl<T: Entropy + ?Sized> Entropy for std::sync::Arc<T> {
    fn fill(&self, buffer: &mut [u8]) {
        self.as_ref().fill(buffer);
    }
}
