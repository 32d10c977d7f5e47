//! Component values from other nodes, by their types.

use wattle_runtime::Val;
use wattle_runtime::value::{DECODE_BUDGET, DecodeError, Shape, Signature};

/// The deepest type, and the most parts of one.
pub(super) const DEPTH: usize = 5;
const PARTS: usize = 40;

/// The first bytes of an input are types, the others values of them. What is read has one spelling,
/// and takes no more memory than values may.
pub fn holds(data: &[u8]) {
    let mut types = Types::of(data);
    let count = usize::from(types.byte() % 3);
    let shapes: Vec<Shape> = (0..count).map(|_| types.shape(DEPTH)).collect();
    let (values, longest) = (types.bytes, longest_name(&shapes));
    let signature = Signature::new(shapes.clone(), shapes);
    let mut slots = vec![Val::Bool(false); count];
    let read = signature.decode_results_into(values, &mut slots);
    let arguments = [&signature.fingerprint().to_le_bytes(), values].concat();
    let as_arguments = signature.decode_arguments(&arguments);
    match read {
        Ok(()) => {
            assert_eq!(signature.encode_results(&slots).unwrap(), values);
            let as_arguments = as_arguments.unwrap();
            // By their bits: NaN is NaN.
            assert_eq!(format!("{as_arguments:?}"), format!("{slots:?}"));
            assert_eq!(signature.encode_arguments(&as_arguments).unwrap(), arguments);
            let memory: usize = slots.iter().map(memory).sum();
            assert!(memory <= DECODE_BUDGET, "{memory} bytes");
            // A byte becomes a value with a name at the most, and each record or payload around it.
            let each = DEPTH * (longest + 3 * size_of::<Val>() + 3 * size_of::<String>());
            assert!(memory <= (values.len() + 1) * each * 4, "{memory} bytes of {}", values.len());
            if let Some((_, cut)) = arguments.split_last() {
                assert!(signature.decode_arguments(cut).is_err());
            }
            let longer = [arguments.as_slice(), &[0]].concat();
            assert_eq!(signature.decode_arguments(&longer).err(), Some(DecodeError::Trailing));
        }
        Err(error) => assert_eq!(as_arguments.err(), Some(error)),
    }
    let other = signature.fingerprint().wrapping_add(1).to_le_bytes();
    let other = signature.decode_arguments(&[&other, values].concat());
    assert_eq!(other.err(), Some(DecodeError::OtherSignature));
}

/// Takes types off the front of an input.
pub(super) struct Types<'a> {
    /// Those that are left.
    pub(super) bytes: &'a [u8],
    parts: usize,
}

impl<'a> Types<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, parts: PARTS }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *byte
    }

    fn name(&mut self) -> Box<str> {
        let byte = self.byte();
        format!("{byte}-{}", "x".repeat(1 << (byte % 12))).into()
    }

    fn names(&mut self) -> Box<[Box<str>]> {
        (0..=self.byte() % 20).map(|number| format!("{number}-{}", self.name()).into()).collect()
    }

    pub(super) fn shape(&mut self, depth: usize) -> Shape {
        self.parts = self.parts.saturating_sub(1);
        let kinds = if depth == 0 || self.parts == 0 { 16 } else { 23 };
        match self.byte() % kinds {
            0 => Shape::Bool,
            1 => Shape::S8,
            2 => Shape::U8,
            3 => Shape::S16,
            4 => Shape::U16,
            5 => Shape::S32,
            6 => Shape::U32,
            7 => Shape::S64,
            8 => Shape::U64,
            9 => Shape::Float32,
            10 => Shape::Float64,
            11 => Shape::Char,
            12 => Shape::String,
            13 => Shape::Bytes,
            14 => Shape::Enum(self.names()),
            15 => Shape::Flags(self.names()),
            16 => match self.shape(depth - 1) {
                Shape::U8 => Shape::Bytes,
                element => Shape::List(Box::new(element)),
            },
            17 => Shape::Map(Box::new((self.shape(depth - 1), self.shape(depth - 1)))),
            18 => Shape::Record(self.several(|types| (types.name(), types.shape(depth - 1)))),
            19 => Shape::Tuple(self.several(|types| types.shape(depth - 1))),
            20 => Shape::Variant(self.cases(depth)),
            21 => Shape::Option(Box::new(self.shape(depth - 1))),
            _ => Shape::Result(Box::new((self.maybe(depth), self.maybe(depth)))),
        }
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Box<[T]> {
        (0..=self.byte() % 3).map(|_| one(self)).collect()
    }

    /// Cases have names of their own, as WIT has it.
    fn cases(&mut self, depth: usize) -> Box<[(Box<str>, Option<Shape>)]> {
        (0..=self.byte() % 3)
            .map(|number| (format!("{number}-{}", self.name()).into(), self.maybe(depth)))
            .collect()
    }

    fn maybe(&mut self, depth: usize) -> Option<Shape> {
        self.byte().is_multiple_of(2).then(|| self.shape(depth - 1))
    }
}

fn longest_name(shapes: &[Shape]) -> usize {
    shapes.iter().map(Shape::to_string).map(|text| text.len()).max().unwrap_or(0)
}

/// What a value takes on the heap and beside it.
fn memory(value: &Val) -> usize {
    let boxed = |value: &Option<Box<Val>>| value.as_deref().map_or(0, memory);
    size_of::<Val>()
        + match value {
            Val::String(text) | Val::Enum(text) => text.len(),
            Val::List(values) | Val::Tuple(values) => values.iter().map(memory).sum(),
            Val::Map(pairs) => pairs.iter().map(|(key, value)| memory(key) + memory(value)).sum(),
            Val::Record(fields) => {
                let one = |(name, value): &(String, Val)| {
                    size_of::<String>() + name.len() + memory(value)
                };
                fields.iter().map(one).sum()
            }
            Val::Variant(name, payload) => name.len() + boxed(payload),
            Val::Option(payload) | Val::Result(Ok(payload) | Err(payload)) => boxed(payload),
            Val::Flags(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
            _ => 0,
        }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        // A string, and a list of bytes.
        vec![2, 12, 13, 3, b'a', b'b', b'c', 2, 1, 255],
        // A list of pairs of numbers.
        vec![1, 16, 19, 1, 6, 7, 2, 0xac, 0x02, 3, 0, 0x81, 0x01],
        // A record of an option of text and a result.
        vec![1, 18, 1, 2, 21, 12, 3, 22, 0, 8, 0, 12, 1, 2, b'h', b'i', 1, 1, b'!'],
        // A variant, an enum and flags.
        vec![1, 20, 2, 1, 0, 2, 2, 1, 3, 0, 11, 2, 0xe9, 0x01],
        vec![2, 14, 2, 1, 2, 3, 15, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0x81, 0x01],
        // A map of text to doubles.
        vec![1, 17, 12, 10, 1, 1, b'k', 0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
        // Short names, many times.
        [&[1, 16, 14, 0, 11, 40], [0; 40].as_slice()].concat(),
    ]
}
