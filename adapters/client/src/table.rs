//! Maps that can be saved.

use std::{collections::BTreeMap, fmt, io, ops::Deref, ops::DerefMut};

use tls_codec::{DeserializeBytes, Error, Serialize, Size, VLByteSlice, VLBytes};

/// A map whose encoding is the list of its entries, in the order of their keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Table<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K, V> DerefMut for Table<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} entries>", self.0.len())
    }
}

impl<K: Size, V: Size> Size for Table<K, V> {
    fn tls_serialized_len(&self) -> usize {
        let content: usize =
            self.0.iter().map(|(key, value)| key.tls_serialized_len() + value.tls_serialized_len()).sum();
        let prefix = match content {
            0..0x40 => 1,
            0x40..0x4000 => 2,
            _ => 4,
        };
        prefix + content
    }
}

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let mut content = Vec::new();
        for (key, value) in &self.0 {
            key.tls_serialize(&mut content)?;
            value.tls_serialize(&mut content)?;
        }
        VLByteSlice(&content).tls_serialize(writer)
    }
}

impl<K: DeserializeBytes + Ord, V: DeserializeBytes> DeserializeBytes for Table<K, V> {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (content, rest) = VLBytes::tls_deserialize_bytes(input)?;
        let mut left = content.as_slice();
        let mut entries = BTreeMap::new();
        while !left.is_empty() {
            let (key, after_key) = K::tls_deserialize_bytes(left)?;
            let (value, after_value) = V::tls_deserialize_bytes(after_key)?;
            entries.insert(key, value);
            left = after_value;
        }
        Ok((Self(entries), rest))
    }
}

#[cfg(test)]
mod tests {
    use phoenix_core::wire::Wire;

    use super::Table;

    #[test]
    fn a_saved_table_comes_back_whatever_its_length() {
        for length in [0_u16, 1, 15, 16, 4_000, 5_000] {
            let table: Table<u16, u64> = (0..length).map(|key| (key, u64::from(key) * 3)).collect();

            assert_eq!(Table::decode(&table.encode()), Ok(table), "{length}");
        }
    }
}
