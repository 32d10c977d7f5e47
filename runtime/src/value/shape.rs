//! What a value of a type looks like, without the engine.

use wasmtime::component::Type;

/// The most nodes that the types of one function may have. Types can refer to each other so that
/// a small file describes a type of a million fields; nobody who means well needs that.
const MAX_NODES: usize = 20_000;

/// The deepest nesting of a type.
const MAX_DEPTH: usize = 100;

/// A component type without handles, as a tree that is quick to walk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the WIT type of the same name")]
pub enum Shape {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    /// `list<u8>`, which is copied in one go.
    Bytes,
    List(Box<Shape>),
    Map(Box<(Shape, Shape)>),
    Record(Box<[(Box<str>, Shape)]>),
    Tuple(Box<[Shape]>),
    Variant(Box<[(Box<str>, Option<Shape>)]>),
    Enum(Box<[Box<str>]>),
    Option(Box<Shape>),
    Result(Box<(Option<Shape>, Option<Shape>)>),
    Flags(Box<[Box<str>]>),
}

/// Why values of a type can't leave their process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// It holds something that lives in one process.
    #[error("it passes a {0}, which can't leave its process")]
    Handle(&'static str),
    /// It is too large to be meant well.
    #[error("its types have more than {MAX_NODES} parts, or are nested deeper than {MAX_DEPTH}")]
    TooLarge,
}

/// Derives shapes, counting what they cost.
pub(super) struct Deriver {
    nodes_left: usize,
}

impl Deriver {
    pub(super) fn new() -> Self {
        Self { nodes_left: MAX_NODES }
    }

    pub(super) fn shape(&mut self, ty: &Type) -> Result<Shape, ShapeError> {
        self.at_depth(ty, 0)
    }

    fn at_depth(&mut self, ty: &Type, depth: usize) -> Result<Shape, ShapeError> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(ShapeError::TooLarge)?;
        if depth > MAX_DEPTH {
            return Err(ShapeError::TooLarge);
        }
        let mut inner = |ty: &Type| self.at_depth(ty, depth + 1);
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::S8,
            Type::U8 => Shape::U8,
            Type::S16 => Shape::S16,
            Type::U16 => Shape::U16,
            Type::S32 => Shape::S32,
            Type::U32 => Shape::U32,
            Type::S64 => Shape::S64,
            Type::U64 => Shape::U64,
            Type::Float32 => Shape::Float32,
            Type::Float64 => Shape::Float64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Shape::Bytes,
                element => Shape::List(Box::new(inner(&element)?)),
            },
            Type::Map(map) => Shape::Map(Box::new((inner(&map.key())?, inner(&map.value())?))),
            Type::Record(record) => Shape::Record(
                record
                    .fields()
                    .map(|field| Ok((field.name.into(), inner(&field.ty)?)))
                    .collect::<Result<_, ShapeError>>()?,
            ),
            Type::Tuple(tuple) => {
                Shape::Tuple(tuple.types().map(|ty| inner(&ty)).collect::<Result<_, ShapeError>>()?)
            }
            Type::Variant(variant) => Shape::Variant(
                variant
                    .cases()
                    .map(|case| {
                        Ok((case.name.into(), case.ty.as_ref().map(&mut inner).transpose()?))
                    })
                    .collect::<Result<_, ShapeError>>()?,
            ),
            Type::Enum(names) => Shape::Enum(names.names().map(Into::into).collect()),
            Type::Option(option) => Shape::Option(Box::new(inner(&option.ty())?)),
            Type::Result(result) => Shape::Result(Box::new((
                result.ok().as_ref().map(&mut inner).transpose()?,
                result.err().as_ref().map(&mut inner).transpose()?,
            ))),
            Type::Flags(flags) => Shape::Flags(flags.names().map(Into::into).collect()),
            // Proposed, and off in the engine: no component that loads has one.
            Type::FixedLengthList(_) => return Err(ShapeError::Handle("list of fixed length")),
            Type::Own(_) | Type::Borrow(_) => return Err(ShapeError::Handle("resource")),
            Type::Future(_) => return Err(ShapeError::Handle("future")),
            Type::Stream(_) => return Err(ShapeError::Handle("stream")),
            Type::ErrorContext => return Err(ShapeError::Handle("error context")),
        })
    }
}
