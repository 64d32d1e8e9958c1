//! JSON that is signed: it has one reading, or none.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The members of an object. No name stands twice in it, nor in any object within: else two readers could read two
/// things.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads an object. Whoever calls has bounded the bytes; how deep they nest, the library does.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Unambiguous(Value::Object(members))) => Some(Self(members)),
            _ => None,
        }
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A member that is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// A member that is an array, or none.
    pub(super) fn array(&self, name: &str) -> Option<&[Value]> {
        self.0.get(name).and_then(Value::as_array).map(Vec::as_slice)
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.0.get(name).and_then(Self::of)
    }

    /// The object that was read as a part of another.
    pub(super) fn of(value: &Value) -> Option<Self> {
        value.as_object().cloned().map(Self)
    }

    /// Whether there is such a member, whatever it is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// A value in which no object has two members of one name.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without two members of one name")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unambiguous(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("two members of one name"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::Members;

    #[test]
    fn an_object_has_one_reading_or_none() {
        let good = br#"{"a":"x","b":7,"c":{"d":[1,{"e":null}],"f":true},"g":-1.5}"#;

        assert!(Members::read(good).is_some_and(|it| it.text("a") == Some("x") && it.number("b") == Some(7)));
        for bad in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"a":1,"\u0061":2}"#,
            br#"{"a":{"b":1,"b":2}}"#,
            br#"{"a":[{"b":1,"b":2}]}"#,
            br#"{"a":1}{}"#,
            br#"{"a":1,}"#,
            br#"["a"]"#,
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"",
        ] {
            assert!(Members::read(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn what_nests_without_end_is_refused() {
        let deep = [b"{\"a\":".repeat(1_000), b"1".to_vec(), b"}".repeat(1_000)].concat();

        assert!(Members::read(&deep).is_none());
    }
}
