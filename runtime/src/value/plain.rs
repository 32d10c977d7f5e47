//! Rust types that stand for component types, so that bulk data is copied instead of walked.
//!
//! A [`wasmtime::component::Val`] holds a `list<u8>` as one 32-byte value for each byte. For
//! signatures that are known when this is compiled, the bytes go through types like `Vec<u8>`,
//! in the same encoding.

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

use super::decode::Reader;
use super::{DecodeError, Shape, encode};

/// A type of values. `()` is no value: the missing side of a result.
pub(crate) trait Plain: ComponentType + Lift + Lower + Send + Sync + 'static {
    /// What the dynamic encoding knows it as.
    fn shape() -> Option<Shape>;
    /// Appends the value as [`Shape::encode`] would.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Reads a value as the shape's reader would.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The parameters or the results of a function.
pub(crate) trait PlainList:
    ComponentNamedList + Lift + Lower + Send + Sync + 'static
{
    /// One shape for each.
    fn shapes() -> Vec<Shape>;
    /// Appends them one after the other.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Reads them one after the other.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Plain for () {
    fn shape() -> Option<Shape> {
        None
    }

    fn encode(&self, _bytes: &mut Vec<u8>) {}

    fn decode(_reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl Plain for Vec<u8> {
    fn shape() -> Option<Shape> {
        Some(Shape::Bytes)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.len() + encode::MAX_LENGTH);
        encode::length(self.len(), bytes);
        bytes.extend_from_slice(self);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.length_prefixed()?.to_vec())
    }
}

impl Plain for String {
    fn shape() -> Option<Shape> {
        Some(Shape::String)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.len() + encode::MAX_LENGTH);
        encode::length(self.len(), bytes);
        bytes.extend_from_slice(self.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.text()?.to_owned())
    }
}

impl<T: Plain> Plain for Option<T> {
    fn shape() -> Option<Shape> {
        T::shape().map(|inner| Shape::Option(Box::new(inner)))
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(bytes);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.flag()? { T::decode(reader).map(Some) } else { Ok(None) }
    }
}

impl<T: Plain, E: Plain> Plain for Result<T, E> {
    fn shape() -> Option<Shape> {
        Some(Shape::Result(Box::new((T::shape(), E::shape()))))
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.is_err()));
        match self {
            Ok(value) => value.encode(bytes),
            Err(error) => error.encode(bytes),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.flag()? { E::decode(reader).map(Err) } else { T::decode(reader).map(Ok) }
    }
}

macro_rules! plain_list {
    ($($member:ident)*) => {
        #[allow(non_snake_case, reason = "a macro names the members after their types")]
        #[allow(unused_variables, reason = "the empty list uses none")]
        impl<$($member: Plain),*> PlainList for ($($member,)*) {
            fn shapes() -> Vec<Shape> {
                let shapes: Vec<Option<Shape>> = vec![$($member::shape()),*];
                shapes.into_iter().flatten().collect()
            }

            fn encode(&self, bytes: &mut Vec<u8>) {
                let ($($member,)*) = self;
                $($member.encode(bytes);)*
            }

            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(($($member::decode(reader)?,)*))
            }
        }
    };
}

plain_list!();
plain_list!(A);
plain_list!(A B);
plain_list!(A B C);
