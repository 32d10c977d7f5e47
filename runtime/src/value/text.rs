//! Shapes and types as WIT-like text for people.

use std::fmt;

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

use super::Shape;

/// Where the text of a nested type is cut off.
const MAX_TEXT_DEPTH: usize = 6;

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Bool => f.write_str("bool"),
            Shape::S8 => f.write_str("s8"),
            Shape::U8 => f.write_str("u8"),
            Shape::S16 => f.write_str("s16"),
            Shape::U16 => f.write_str("u16"),
            Shape::S32 => f.write_str("s32"),
            Shape::U32 => f.write_str("u32"),
            Shape::S64 => f.write_str("s64"),
            Shape::U64 => f.write_str("u64"),
            Shape::Float32 => f.write_str("f32"),
            Shape::Float64 => f.write_str("f64"),
            Shape::Char => f.write_str("char"),
            Shape::String => f.write_str("string"),
            Shape::Bytes => f.write_str("list<u8>"),
            Shape::List(element) => write!(f, "list<{element}>"),
            Shape::Map(pair) => write!(f, "map<{}, {}>", pair.0, pair.1),
            Shape::Record(fields) => {
                f.write_str("record { ")?;
                separated(f, fields, |f, (name, shape)| write!(f, "{name}: {shape}"))?;
                f.write_str(" }")
            }
            Shape::Tuple(shapes) => {
                f.write_str("tuple<")?;
                separated(f, shapes, |f, shape| shape.fmt(f))?;
                f.write_str(">")
            }
            Shape::Variant(cases) => {
                f.write_str("variant { ")?;
                separated(f, cases, |f, (name, shape)| match shape {
                    Some(shape) => write!(f, "{name}({shape})"),
                    None => f.write_str(name),
                })?;
                f.write_str(" }")
            }
            Shape::Enum(names) => {
                f.write_str("enum { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            Shape::Option(shape) => write!(f, "option<{shape}>"),
            Shape::Result(sides) => match &**sides {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
            Shape::Flags(names) => {
                f.write_str("flags { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    mut one: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        one(f, item)?;
    }
    Ok(())
}

/// The signature of a function, also one that passes handles (which have no [`Shape`]).
pub(crate) fn function(ty: &ComponentFunc) -> String {
    let mut text = String::from("func(");
    for (index, (name, ty)) in ty.params().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push_str(": ");
        type_text(&ty, 0, &mut text);
    }
    text.push(')');
    for (index, ty) in ty.results().enumerate() {
        text.push_str(if index == 0 { " -> " } else { ", " });
        type_text(&ty, 0, &mut text);
    }
    text
}

fn type_text(ty: &Type, depth: usize, text: &mut String) {
    if depth > MAX_TEXT_DEPTH {
        text.push('…');
        return;
    }
    match ty {
        Type::Own(_) => text.push_str("own<resource>"),
        Type::Borrow(_) => text.push_str("borrow<resource>"),
        Type::Future(_) => text.push_str("future"),
        Type::Stream(_) => text.push_str("stream"),
        Type::ErrorContext => text.push_str("error-context"),
        Type::List(list) => wrapped("list", [Some(list.ty())], depth, text),
        Type::FixedLengthList(list) => wrapped("list", [Some(list.ty())], depth, text),
        Type::Map(map) => wrapped("map", [Some(map.key()), Some(map.value())], depth, text),
        Type::Option(option) => wrapped("option", [Some(option.ty())], depth, text),
        Type::Result(result) => wrapped("result", [result.ok(), result.err()], depth, text),
        Type::Tuple(tuple) => {
            wrapped("tuple", tuple.types().map(Some).collect::<Vec<_>>(), depth, text);
        }
        Type::Record(record) => {
            let fields = record.fields().map(|field| (field.name, Some(field.ty)));
            braced("record", ": ", "", fields, depth, text);
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| (case.name, case.ty));
            braced("variant", "(", ")", cases, depth, text);
        }
        Type::Enum(names) => {
            braced("enum", "", "", names.names().map(|name| (name, None)), depth, text);
        }
        Type::Flags(names) => {
            braced("flags", "", "", names.names().map(|name| (name, None)), depth, text);
        }
        Type::Bool => text.push_str("bool"),
        Type::S8 => text.push_str("s8"),
        Type::U8 => text.push_str("u8"),
        Type::S16 => text.push_str("s16"),
        Type::U16 => text.push_str("u16"),
        Type::S32 => text.push_str("s32"),
        Type::U32 => text.push_str("u32"),
        Type::S64 => text.push_str("s64"),
        Type::U64 => text.push_str("u64"),
        Type::Float32 => text.push_str("f32"),
        Type::Float64 => text.push_str("f64"),
        Type::Char => text.push_str("char"),
        Type::String => text.push_str("string"),
    }
}

fn wrapped(
    name: &str,
    inner: impl IntoIterator<Item = Option<Type>>,
    depth: usize,
    text: &mut String,
) {
    text.push_str(name);
    text.push('<');
    for (index, ty) in inner.into_iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        match ty {
            Some(ty) => type_text(&ty, depth + 1, text),
            None => text.push('_'),
        }
    }
    text.push('>');
}

fn braced<'a>(
    name: &str,
    before: &str,
    after: &str,
    members: impl Iterator<Item = (&'a str, Option<Type>)>,
    depth: usize,
    text: &mut String,
) {
    text.push_str(name);
    text.push_str(" { ");
    for (index, (member, ty)) in members.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(member);
        if let Some(ty) = ty {
            text.push_str(before);
            type_text(&ty, depth + 1, text);
            text.push_str(after);
        }
    }
    text.push_str(" }");
}
