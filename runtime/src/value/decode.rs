//! Bytes to values. The bytes come from another node and are not trusted: nothing is allocated
//! for a claimed length before it is known that so much can be there.

use wasmtime::component::Val;

use super::Shape;

/// How many bytes of memory the values of one message may take. A `list<u8>` costs as many as its
/// length times the size of a [`Val`].
pub const DECODE_BUDGET: usize = 128 << 20;

/// What a name in a value costs besides its text.
const NAME_COST: usize = size_of::<String>();

/// Why bytes are not values of the types they were taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the values end too early")]
    Short,
    /// Something follows after the last value.
    #[error("something follows after the last value")]
    Trailing,
    /// They were written for another definition of the function.
    #[error("the caller was built against another definition of this function")]
    OtherSignature,
    /// A part is out of its range.
    #[error("{0} is out of its range")]
    Range(&'static str),
    /// They would take more memory than is allowed.
    #[error("the values would take more than {} MiB of memory", DECODE_BUDGET >> 20)]
    TooLarge,
}

/// Reads values one after the other.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    budget: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, budget: DECODE_BUDGET }
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub(super) fn value(&mut self, shape: &Shape) -> Result<Val, DecodeError> {
        Ok(match shape {
            Shape::Bool => Val::Bool(self.flag()?),
            Shape::S8 => Val::S8(i8::from_le_bytes([self.byte()?])),
            Shape::U8 => Val::U8(self.byte()?),
            Shape::S16 => Val::S16(narrow(self.signed()?)?),
            Shape::U16 => Val::U16(narrow(self.unsigned()?)?),
            Shape::S32 => Val::S32(narrow(self.signed()?)?),
            Shape::U32 => Val::U32(narrow(self.unsigned()?)?),
            Shape::S64 => Val::S64(self.signed()?),
            Shape::U64 => Val::U64(self.unsigned()?),
            Shape::Float32 => Val::Float32(f32::from_le_bytes(self.array()?)),
            Shape::Float64 => Val::Float64(f64::from_le_bytes(self.array()?)),
            Shape::Char => {
                let code: u32 = narrow(self.unsigned()?)?;
                Val::Char(char::from_u32(code).ok_or(DecodeError::Range("a character"))?)
            }
            Shape::String => {
                let text = self.text()?;
                self.charge(text.len())?;
                Val::String(text.into())
            }
            Shape::Bytes => {
                let bytes = self.length_prefixed()?;
                self.charge_values(bytes.len(), 1)?;
                Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
            }
            Shape::List(element) => {
                let count = self.count(1)?;
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(self.value(element)?);
                }
                Val::List(values)
            }
            Shape::Map(pair) => {
                let count = self.count(2)?;
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push((self.value(&pair.0)?, self.value(&pair.1)?));
                }
                Val::Map(values)
            }
            Shape::Record(fields) => {
                self.charge_values(fields.len(), 1)?;
                let mut values = Vec::with_capacity(fields.len());
                for (name, shape) in fields {
                    let name = self.name(name)?;
                    values.push((name, self.value(shape)?));
                }
                Val::Record(values)
            }
            Shape::Tuple(shapes) => {
                self.charge_values(shapes.len(), 1)?;
                let mut values = Vec::with_capacity(shapes.len());
                for shape in shapes {
                    values.push(self.value(shape)?);
                }
                Val::Tuple(values)
            }
            Shape::Variant(cases) => {
                let (name, shape) = self.case(cases)?;
                Val::Variant(self.name(name)?, self.payload(shape.as_ref())?)
            }
            Shape::Enum(names) => {
                let name = self.case(names)?;
                Val::Enum(self.name(name)?)
            }
            Shape::Option(shape) => Val::Option(match self.flag()? {
                false => None,
                true => self.payload(Some(shape))?,
            }),
            Shape::Result(sides) => Val::Result(match self.flag()? {
                false => Ok(self.payload(sides.0.as_ref())?),
                true => Err(self.payload(sides.1.as_ref())?),
            }),
            Shape::Flags(names) => self.flags(names)?,
        })
    }

    fn payload(&mut self, shape: Option<&Shape>) -> Result<Option<Box<Val>>, DecodeError> {
        let Some(shape) = shape else { return Ok(None) };
        self.charge_values(1, 1)?;
        Ok(Some(Box::new(self.value(shape)?)))
    }

    fn case<'s, T>(&mut self, cases: &'s [T]) -> Result<&'s T, DecodeError> {
        let index = usize::try_from(self.unsigned()?).ok();
        index.and_then(|index| cases.get(index)).ok_or(DecodeError::Range("the number of a case"))
    }

    fn flags(&mut self, names: &[Box<str>]) -> Result<Val, DecodeError> {
        let bits = self.take(names.len().div_ceil(8))?;
        let mut set = Vec::new();
        for (index, byte) in bits.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let name = names.get(index * 8 + bit).ok_or(DecodeError::Range("a flag"))?;
                set.push(self.name(name)?);
            }
        }
        Ok(Val::Flags(set))
    }

    fn name(&mut self, name: &str) -> Result<String, DecodeError> {
        self.charge(name.len() + NAME_COST)?;
        Ok(name.into())
    }

    /// The length of a list whose elements are `width` values each, after it was checked that so
    /// many can follow, and their memory accounted for.
    fn count(&mut self, width: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| DecodeError::Short)?;
        // Every value takes at least one byte, so that no more elements can follow than bytes.
        if count > self.bytes.len() {
            return Err(DecodeError::Short);
        }
        self.charge_values(count, width)?;
        Ok(count)
    }

    fn charge_values(&mut self, count: usize, width: usize) -> Result<(), DecodeError> {
        let cost = count.checked_mul(width * size_of::<Val>()).ok_or(DecodeError::TooLarge)?;
        self.charge(cost)
    }

    fn charge(&mut self, cost: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(cost).ok_or(DecodeError::TooLarge)?;
        Ok(())
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.length_prefixed()?).map_err(|_| DecodeError::Range("a string"))
    }

    pub(super) fn length_prefixed(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| DecodeError::Short)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.bytes.split_first().ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(*byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Range("a yes or no")),
        }
    }

    fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit, and no number has two spellings.
            if (part << shift) >> shift != part || (byte == 0 && shift > 0) {
                return Err(DecodeError::Range("a number"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Range("a number"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }
}

fn narrow<Wide, Narrow: TryFrom<Wide>>(value: Wide) -> Result<Narrow, DecodeError> {
    Narrow::try_from(value).map_err(|_| DecodeError::Range("a number"))
}
