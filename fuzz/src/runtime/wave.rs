//! Arguments of calls as people write them.

use wattle_runtime::value::Shape;
use wattle_runtime::value::wave::wasm_wave::to_string;
use wattle_runtime::value::wave::wasm_wave::value::{Type, Value};
use wattle_runtime::value::wave::{MAX_WAVE, WaveError, arguments};

use super::value::{DEPTH, Types};

/// Names of fields and cases, the words of the language among them.
const NAMES: [&str; 8] = ["a", "true", "none", "some", "ok", "inf", "b-2", "X"];

/// The first bytes of an input are types of parameters, the others the text of their arguments. What
/// is read is written and read as the same, with parentheses around it and without, and is too much
/// for a function that takes one less.
pub fn holds(data: &[u8]) {
    let mut drawn = Types::of(data);
    let count = usize::from(drawn.byte() % 4);
    let types: Option<Vec<Type>> = (0..count).map(|_| of(&drawn.shape(DEPTH))).collect();
    let (Some(types), Ok(text)) = (types, str::from_utf8(drawn.bytes)) else { return };
    let Some(written) = taken(text, &types) else { return };
    let whole = format!("({written})");
    if whole.len() > MAX_WAVE {
        return;
    }
    assert_eq!(taken(&whole, &types).as_ref(), Some(&written), "it has two spellings");
    // One tuple in parentheses is taken for the arguments.
    if !written.starts_with('(') {
        assert_eq!(taken(&written, &types).as_ref(), Some(&written));
    }
    if let Some((_, fewer)) = types.split_last() {
        assert_eq!(taken(&whole, fewer), None);
    }
}

/// The arguments in a text, written again.
fn taken(text: &str, types: &[Type]) -> Option<String> {
    match arguments::<Value>(text, types) {
        Ok(values) => {
            assert_eq!(values.len(), types.len());
            let texts: Vec<String> = values.iter().map(|value| to_string(value).unwrap()).collect();
            Some(texts.join(", "))
        }
        Err(error) => {
            assert_eq!(matches!(error, WaveError::TooLong), text.len() > MAX_WAVE);
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// The same type as WAVE has it; it has no maps.
fn of(shape: &Shape) -> Option<Type> {
    let all = |shapes: &[Shape]| shapes.iter().map(of).collect::<Option<Vec<Type>>>();
    let names = |count: usize| (0..count).map(name);
    match shape {
        Shape::Bool => Some(Type::BOOL),
        Shape::S8 => Some(Type::S8),
        Shape::U8 => Some(Type::U8),
        Shape::S16 => Some(Type::S16),
        Shape::U16 => Some(Type::U16),
        Shape::S32 => Some(Type::S32),
        Shape::U32 => Some(Type::U32),
        Shape::S64 => Some(Type::S64),
        Shape::U64 => Some(Type::U64),
        Shape::Float32 => Some(Type::F32),
        Shape::Float64 => Some(Type::F64),
        Shape::Char => Some(Type::CHAR),
        Shape::String => Some(Type::STRING),
        Shape::Bytes => Some(Type::list(Type::U8)),
        Shape::List(element) => Some(Type::list(of(element)?)),
        Shape::Map(_) => None,
        Shape::Record(fields) => {
            let fields: Vec<Type> =
                fields.iter().map(|(_, shape)| of(shape)).collect::<Option<_>>()?;
            Type::record(names(fields.len()).zip(fields))
        }
        Shape::Tuple(shapes) => Type::tuple(all(shapes)?),
        Shape::Variant(cases) => {
            let cases = cases.iter().map(|(_, shape)| maybe(shape.as_ref()));
            let cases: Vec<Option<Type>> = cases.collect::<Option<_>>()?;
            Type::variant(names(cases.len()).zip(cases))
        }
        Shape::Enum(cases) => Type::enum_ty(names(cases.len())),
        Shape::Option(shape) => Some(Type::option(of(shape)?)),
        Shape::Result(sides) => {
            Some(Type::result(maybe(sides.0.as_ref())?, maybe(sides.1.as_ref())?))
        }
        Shape::Flags(flags) => Type::flags(names(flags.len())),
    }
}

/// The type of a payload, if there is one.
fn maybe(shape: Option<&Shape>) -> Option<Option<Type>> {
    match shape {
        Some(shape) => of(shape).map(Some),
        None => Some(None),
    }
}

fn name(number: usize) -> String {
    NAMES.get(number).map_or_else(|| format!("n{number}"), |name| (*name).to_owned())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |types: &[u8], text: &str| [types, text.as_bytes()].concat();
    vec![
        // A text and a number.
        of(&[2, 12, 6], r#""apple", 3"#),
        of(&[2, 12, 6], r#" ("\u{1F34E}\"\n", 4294967295) "#),
        // A record of an option of text and a result.
        of(&[1, 18, 1, 2, 21, 12, 3, 22, 0, 8, 0, 12], r#"{a: some("x"), true: err("no")}"#),
        of(&[1, 18, 1, 2, 21, 12, 3, 22, 0, 8, 0, 12], "{true: 7}"),
        // A variant, an enum and flags.
        of(&[1, 20, 2, 1, 0, 2, 2, 1, 3, 0, 11], "%none('é')"),
        of(&[2, 14, 2, 1, 2, 3, 15, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1], "%true, {none, a}"),
        // Lists of pairs, and of bytes.
        of(&[1, 16, 19, 1, 6, 7], "[(1, -2), (3, 4)]"),
        of(&[2, 19, 0, 6, 19, 0, 6], "(1), (2)"),
        of(&[1, 13], "[0, 255]"),
        of(&[2, 9, 10], "nan, -1.5e-10"),
        // What may be left out; a remark; lines; too deep.
        of(&[2, 6, 21, 12], "7"),
        of(&[1, 6], "(7 // seven\n)"),
        of(&[1, 12], "\"\"\"\n  a\n   b\n  \"\"\""),
        of(&[1, 12], &"[".repeat(200)),
        of(&[0], ""),
    ]
}
