//! Decoding without copying: what comes out holds on to the memory that it was decoded from.

use std::cell::RefCell;

use bytes::Bytes;

use super::Wire;
use crate::Reject;

/// As [`Wire::decode`]; but vectors of bytes share `input` instead of copying their part of it. For what is looked at and
/// let go of: whatever of it stays keeps all of `input` in memory.
///
/// # Errors
/// As for [`Wire::decode`].
pub fn decode_shared<T: Wire>(input: &Bytes) -> Result<T, Reject> {
    let _scope = Scope::enter(input.clone());
    T::decode(input)
}

/// The bytes: shared where they lie in what is being decoded so, else copied.
pub(super) fn taken(content: &[u8]) -> Bytes {
    SOURCE.with_borrow(|source| {
        let (all, part) = (source.as_ptr_range(), content.as_ptr_range());
        let lies_within = !part.is_empty() && all.start <= part.start && part.end <= all.end;
        if lies_within { source.slice_ref(content) } else { Bytes::copy_from_slice(content) }
    })
}

/// Puts back what was decoded before, also where decoding panics.
struct Scope(Bytes);

impl Scope {
    fn enter(source: Bytes) -> Self {
        Self(SOURCE.replace(source))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        SOURCE.set(std::mem::take(&mut self.0));
    }
}

thread_local! {
    /// What is being decoded on this thread: the codec hands its parts on as mere slices.
    static SOURCE: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use bytes::Bytes;

    use super::{decode_shared, taken};
    use crate::wire::{List, Opaque, Wire};

    type Vectors = List<Opaque<8>, 2>;

    #[test]
    fn what_is_decoded_so_lies_in_its_input_and_what_is_decoded_afterwards_does_not() {
        let vectors = Vectors::new(vec![Opaque::new(vec![1; 8]).unwrap(), Opaque::default()]).unwrap();
        let input = vectors.encode();

        let (shared, copied): (Vectors, Vectors) =
            (decode_shared(&input).unwrap(), Wire::decode(&input).unwrap());

        assert_eq!((&shared, &copied), (&vectors, &vectors));
        let lies_within =
            |vectors: &Vectors| input.as_ptr_range().contains(&vectors.first().unwrap().as_slice().as_ptr());
        assert!(lies_within(&shared) && !lies_within(&copied));
    }

    #[test]
    fn what_is_refused_leaves_nothing_behind() {
        let input = Bytes::from_static(&[9, 8, 1]);

        assert!(decode_shared::<Vectors>(&input).is_err());

        assert_ne!(taken(&input).as_ptr(), input.as_ptr());
    }
}
