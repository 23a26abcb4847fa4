//! The fields that are needed of a JSON object, and nothing else of it.
//!
//! What is not needed is skipped without being looked at: an answer may have documented fields in
//! any number and length, and what is odd about one of them, such as text that is no UTF-8, must
//! not hide the field that is needed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{BodyError, content};

/// The values of these fields, in the order of the names. Of one that comes twice the last counts.
pub fn object<const N: usize>(
    body: &[u8],
    names: [&str; N],
) -> Result<[Option<Value>; N], BodyError> {
    let expected = "a JSON object";
    read(body, Fields(&names))?.ok_or(BodyError::NotThat { expected })
}

/// The same of each object in an array; what is no object in it is skipped. `null` is an empty one.
pub fn objects<const N: usize>(
    body: &[u8],
    names: [&str; N],
) -> Result<Vec<[Option<Value>; N]>, BodyError> {
    let expected = "a JSON array of objects";
    read(body, Rows(&names))?.ok_or(BodyError::NotThat { expected })
}

/// serde_json's own error can quote the body, so it is dropped. `None` is JSON of another form.
fn read<'de, S, T>(body: &'de [u8], seed: S) -> Result<Option<T>, BodyError>
where
    S: DeserializeSeed<'de, Value = Option<T>>,
{
    let mut json = serde_json::Deserializer::from_slice(content(body)?);
    let read = seed.deserialize(&mut json).and_then(|read| {
        json.end()?;
        Ok(read)
    });
    Ok(read.unwrap_or(None))
}

#[derive(Clone, Copy)]
struct Fields<'n, const N: usize>(&'n [&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<'_, N> {
    type Value = Option<[Option<Value>; N]>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = Option<[Option<Value>; N]>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut values = [const { None }; N];
        while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
            match self.0.iter().position(|wanted| *wanted == name) {
                Some(at) => values[at] = Some(fields.next_value()?),
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(values))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

struct Rows<'n, const N: usize>(&'n [&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Rows<'_, N> {
    type Value = Option<Vec<[Option<Value>; N]>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Rows<'_, N> {
    type Value = Option<Vec<[Option<Value>; N]>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array or null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = elements.next_element_seed(Fields(self.0))? {
            rows.extend(row);
        }
        Ok(Some(rows))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Vec::new()))
    }
}
