//! Values to bytes.

use wasmtime::component::Val;

use super::Shape;

/// Why a value does not go with its type: somebody passed values that the type does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The number of values is not the number of parameters or results.
    #[error("there are {found} values where the function has {expected}")]
    Count {
        /// How many the function has.
        expected: usize,
        /// How many were passed.
        found: usize,
    },
    /// A value is of another type.
    #[error("a value does not have the type `{0}`")]
    Type(String),
}

impl Shape {
    /// Appends `value` to `bytes`.
    pub fn encode(&self, value: &Val, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (self, value) {
            (Shape::Bool, Val::Bool(value)) => bytes.push(u8::from(*value)),
            (Shape::S8, Val::S8(value)) => bytes.extend_from_slice(&value.to_le_bytes()),
            (Shape::U8, Val::U8(value)) => bytes.push(*value),
            (Shape::S16, Val::S16(value)) => signed(i64::from(*value), bytes),
            (Shape::U16, Val::U16(value)) => unsigned(u64::from(*value), bytes),
            (Shape::S32, Val::S32(value)) => signed(i64::from(*value), bytes),
            (Shape::U32, Val::U32(value)) => unsigned(u64::from(*value), bytes),
            (Shape::S64, Val::S64(value)) => signed(*value, bytes),
            (Shape::U64, Val::U64(value)) => unsigned(*value, bytes),
            (Shape::Float32, Val::Float32(value)) => bytes.extend_from_slice(&value.to_le_bytes()),
            (Shape::Float64, Val::Float64(value)) => bytes.extend_from_slice(&value.to_le_bytes()),
            (Shape::Char, Val::Char(value)) => unsigned(u64::from(u32::from(*value)), bytes),
            (Shape::String, Val::String(value)) => {
                length(value.len(), bytes);
                bytes.extend_from_slice(value.as_bytes());
            }
            (Shape::Bytes, Val::List(values)) => self.byte_list(values, bytes)?,
            (Shape::List(element), Val::List(values)) => {
                length(values.len(), bytes);
                for value in values {
                    element.encode(value, bytes)?;
                }
            }
            (Shape::Map(pair), Val::Map(values)) => {
                length(values.len(), bytes);
                for (key, value) in values {
                    pair.0.encode(key, bytes)?;
                    pair.1.encode(value, bytes)?;
                }
            }
            (Shape::Record(fields), Val::Record(values)) if fields.len() == values.len() => {
                for ((name, shape), (value_name, value)) in fields.iter().zip(values) {
                    if **name != **value_name {
                        return Err(self.mismatch());
                    }
                    shape.encode(value, bytes)?;
                }
            }
            (Shape::Tuple(shapes), Val::Tuple(values)) if shapes.len() == values.len() => {
                for (shape, value) in shapes.iter().zip(values) {
                    shape.encode(value, bytes)?;
                }
            }
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                let index = cases.iter().position(|(case, _)| **case == **name);
                let (index, (_, shape)) = index
                    .and_then(|index| Some((index, cases.get(index)?)))
                    .ok_or_else(|| self.mismatch())?;
                length(index, bytes);
                self.payload(shape.as_ref(), payload.as_deref(), bytes)?;
            }
            (Shape::Enum(names), Val::Enum(name)) => {
                let index = names.iter().position(|case| **case == **name);
                length(index.ok_or_else(|| self.mismatch())?, bytes);
            }
            (Shape::Option(shape), Val::Option(value)) => match value {
                None => bytes.push(0),
                Some(value) => {
                    bytes.push(1);
                    shape.encode(value, bytes)?;
                }
            },
            (Shape::Result(sides), Val::Result(value)) => match value {
                Ok(value) => {
                    bytes.push(0);
                    self.payload(sides.0.as_ref(), value.as_deref(), bytes)?;
                }
                Err(value) => {
                    bytes.push(1);
                    self.payload(sides.1.as_ref(), value.as_deref(), bytes)?;
                }
            },
            (Shape::Flags(names), Val::Flags(set)) => {
                let mut bits = vec![0u8; names.len().div_ceil(8)];
                for name in set {
                    let index = names.iter().position(|flag| **flag == **name);
                    let index = index.ok_or_else(|| self.mismatch())?;
                    if let Some(byte) = bits.get_mut(index / 8) {
                        *byte |= 1 << (index % 8);
                    }
                }
                bytes.extend_from_slice(&bits);
            }
            _ => return Err(self.mismatch()),
        }
        Ok(())
    }

    fn byte_list(&self, values: &[Val], bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        length(values.len(), bytes);
        let start = bytes.len();
        bytes.extend(values.iter().map_while(|value| match value {
            Val::U8(byte) => Some(*byte),
            _ => None,
        }));
        if bytes.len() - start == values.len() { Ok(()) } else { Err(self.mismatch()) }
    }

    fn payload(
        &self,
        shape: Option<&Shape>,
        value: Option<&Val>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match (shape, value) {
            (Some(shape), Some(value)) => shape.encode(value, bytes),
            (None, None) => Ok(()),
            _ => Err(self.mismatch()),
        }
    }

    #[cold]
    fn mismatch(&self) -> EncodeError {
        EncodeError::Type(self.to_string())
    }
}

/// LEB128, seven bits a byte, the lowest first.
fn unsigned(mut value: u64, bytes: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return;
        }
        bytes.push(byte | 0x80);
    }
}

/// Zigzag: 0, -1, 1, -2 … as 0, 1, 2, 3 …, so that small negative numbers are short.
fn signed(value: i64, bytes: &mut Vec<u8>) {
    unsigned(((value << 1) ^ (value >> 63)) as u64, bytes);
}

/// The most bytes that a length takes.
pub(super) const MAX_LENGTH: usize = 10;

pub(super) fn length(length: usize, bytes: &mut Vec<u8>) {
    unsigned(length as u64, bytes);
}
