//! Random types, random values of them, and random bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use wasmtime::component::Val;

use super::{DecodeError, PlainList, Shape, Signature, decode_plain};

fn names(count: usize) -> Box<[Box<str>]> {
    (0..count).map(|index| format!("name-{index}").into()).collect()
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Bool),
        Just(Shape::S8),
        Just(Shape::U8),
        Just(Shape::S16),
        Just(Shape::U16),
        Just(Shape::S32),
        Just(Shape::U32),
        Just(Shape::S64),
        Just(Shape::U64),
        Just(Shape::Float32),
        Just(Shape::Float64),
        Just(Shape::Char),
        Just(Shape::String),
        Just(Shape::Bytes),
        (1..300usize).prop_map(|count| Shape::Enum(names(count))),
        (1..40usize).prop_map(|count| Shape::Flags(names(count))),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = proptest::option::of(inner.clone());
        prop_oneof![
            boxed.clone().prop_map(|shape| match *shape {
                Shape::U8 => Shape::Bytes,
                _ => Shape::List(shape),
            }),
            (inner.clone(), inner.clone()).prop_map(|pair| Shape::Map(Box::new(pair))),
            boxed.prop_map(Shape::Option),
            vec(inner.clone(), 1..4).prop_map(|shapes| Shape::Tuple(shapes.into())),
            vec(inner, 1..4).prop_map(|shapes| {
                Shape::Record(names(shapes.len()).into_iter().zip(shapes).collect())
            }),
            vec(maybe.clone(), 1..4).prop_map(|shapes| {
                Shape::Variant(names(shapes.len()).into_iter().zip(shapes).collect())
            }),
            (maybe.clone(), maybe).prop_map(|sides| Shape::Result(Box::new(sides))),
        ]
    })
}

fn boxed(shape: Option<&Shape>) -> BoxedStrategy<Option<Box<Val>>> {
    match shape {
        None => Just(None).boxed(),
        Some(shape) => value_of(shape).prop_map(|value| Some(Box::new(value))).boxed(),
    }
}

fn value_of(shape: &Shape) -> BoxedStrategy<Val> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Shape::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Shape::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Shape::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Shape::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Shape::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Shape::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        Shape::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        Shape::Float32 => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        Shape::Float64 => any::<u64>().prop_map(|bits| Val::Float64(f64::from_bits(bits))).boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => any::<String>().prop_map(Val::String).boxed(),
        Shape::Bytes => vec(any::<u8>().prop_map(Val::U8), 0..40).prop_map(Val::List).boxed(),
        Shape::List(element) => vec(value_of(element), 0..4).prop_map(Val::List).boxed(),
        Shape::Map(pair) => {
            vec((value_of(&pair.0), value_of(&pair.1)), 0..4).prop_map(Val::Map).boxed()
        }
        Shape::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|(name, _)| name.to_string()).collect();
            let values: Vec<_> = fields.iter().map(|(_, shape)| value_of(shape)).collect();
            values
                .prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
        Shape::Tuple(shapes) => {
            shapes.iter().map(value_of).collect::<Vec<_>>().prop_map(Val::Tuple).boxed()
        }
        Shape::Variant(cases) => {
            let cases = cases.clone();
            (0..cases.len())
                .prop_flat_map(move |index| {
                    let name = cases[index].0.to_string();
                    boxed(cases[index].1.as_ref())
                        .prop_map(move |payload| Val::Variant(name.clone(), payload))
                })
                .boxed()
        }
        Shape::Enum(names) => {
            let names = names.clone();
            (0..names.len()).prop_map(move |index| Val::Enum(names[index].to_string())).boxed()
        }
        Shape::Option(shape) => {
            prop_oneof![Just(None).boxed(), boxed(Some(shape))].prop_map(Val::Option).boxed()
        }
        Shape::Result(sides) => prop_oneof![
            boxed(sides.0.as_ref()).prop_map(|value| Val::Result(Ok(value))),
            boxed(sides.1.as_ref()).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
        Shape::Flags(names) => {
            let names = names.clone();
            vec(any::<bool>(), names.len())
                .prop_map(move |set| {
                    let chosen = names.iter().zip(set).filter(|(_, set)| *set);
                    Val::Flags(chosen.map(|(name, _)| name.to_string()).collect())
                })
                .boxed()
        }
    }
}

fn shapes_and_values() -> impl Strategy<Value = (Vec<Shape>, Vec<Val>)> {
    vec(any_shape(), 0..4).prop_flat_map(|shapes| {
        let values: Vec<_> = shapes.iter().map(value_of).collect();
        (Just(shapes), values)
    })
}

/// `Val` says that NaN equals NaN, and tests compare what crossed the wire: bits.
fn same(left: &[Val], right: &[Val]) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

proptest! {
    #[test]
    fn every_value_survives((shapes, values) in shapes_and_values()) {
        let signature = Signature::new(shapes.clone(), shapes);
        let bytes = signature.encode_arguments(&values).unwrap();
        prop_assert!(same(&signature.decode_arguments(&bytes).unwrap(), &values));

        let bytes = signature.encode_results(&values).unwrap();
        let mut slots = vec![Val::Bool(false); values.len()];
        signature.decode_results_into(&bytes, &mut slots).unwrap();
        prop_assert!(same(&slots, &values));
    }

    #[test]
    fn random_bytes_are_refused_or_read_but_never_panic(
        shapes in vec(any_shape(), 0..4),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let signature = Signature::new([], shapes.clone());
        let mut slots = vec![Val::Bool(false); shapes.len()];
        if signature.decode_results_into(&bytes, &mut slots).is_ok() {
            // There is one spelling of each value.
            prop_assert_eq!(signature.encode_results(&slots).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_cut_short_or_continued_is_refused((shapes, values) in shapes_and_values(), cut in any::<prop::sample::Index>()) {
        let signature = Signature::new(shapes, []);
        let mut bytes = signature.encode_arguments(&values).unwrap();
        prop_assert!(signature.decode_arguments(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert_eq!(signature.decode_arguments(&bytes).unwrap_err(), DecodeError::Trailing);
    }
}

fn bytes_val(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
}

fn encoded<L: PlainList>(values: &L) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn types_that_are_known_are_written_as_all_others(
        text in any::<String>(),
        bytes in vec(any::<u8>(), 0..300),
        outcome in any::<Result<Option<Vec<u8>>, String>>(),
    ) {
        type Three = (String, Vec<u8>, Result<Option<Vec<u8>>, String>);
        let plain: Three = (text.clone(), bytes.clone(), outcome.clone());
        let values = [
            Val::String(text),
            bytes_val(&bytes),
            Val::Result(match &outcome {
                Ok(bytes) => {
                    let bytes = bytes.as_ref().map(|bytes| Box::new(bytes_val(bytes)));
                    Ok(Some(Box::new(Val::Option(bytes))))
                }
                Err(text) => Err(Some(Box::new(Val::String(text.clone())))),
            }),
        ];
        let signature = Signature::new([], Three::shapes());
        let written = encoded(&plain);
        prop_assert_eq!(&written, &signature.encode_results(&values).unwrap());
        prop_assert_eq!(decode_plain::<Three>(&written).unwrap(), plain);
    }

    #[test]
    fn random_bytes_are_refused_alike(bytes in vec(any::<u8>(), 0..40)) {
        type Two = (Result<(), String>, Option<Vec<u8>>);
        let mut slots = [Val::Bool(false), Val::Bool(false)];
        let slow = Signature::new([], Two::shapes()).decode_results_into(&bytes, &mut slots);
        prop_assert_eq!(decode_plain::<Two>(&bytes).map(|_| ()), slow);
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let list = |shape| Signature::new([], [shape]);
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for shape in [
        Shape::Bytes,
        Shape::String,
        Shape::List(Box::new(Shape::U64)),
        Shape::Map(Box::new((Shape::U8, Shape::U8))),
    ] {
        let error = list(shape).decode_results_into(&huge, &mut [Val::Bool(false)]).unwrap_err();
        assert_eq!(error, DecodeError::Short);
    }
}

#[test]
fn values_that_would_fill_the_memory_are_refused() {
    let long: Box<str> = "x".repeat(10_000).into();
    let signature = Signature::new([], [Shape::List(Box::new(Shape::Enum([long].into())))]);
    // A hundred thousand times case 0 of an enum whose name has ten thousand letters: 1 GB.
    let mut bytes = vec![0xa0, 0x8d, 0x06];
    bytes.resize(bytes.len() + 100_000, 0);
    let error = signature.decode_results_into(&bytes, &mut [Val::Bool(false)]).unwrap_err();
    assert_eq!(error, DecodeError::TooLarge);
}

#[test]
fn another_definition_is_noticed() {
    let field = |name: &str| Shape::Record([(name.into(), Shape::U32)].into());
    let old = Signature::new([field("price")], []);
    let new = Signature::new([field("amount")], []);
    let value = Val::Record(vec![("price".into(), Val::U32(7))]);
    let bytes = old.encode_arguments(&[value]).unwrap();
    assert_eq!(new.decode_arguments(&bytes).unwrap_err(), DecodeError::OtherSignature);
    assert_ne!(old.fingerprint(), new.fingerprint());
}

#[test]
fn the_bytes_of_a_call_stay_as_they_are() {
    // Nodes of different versions talk to each other: whoever changes this changes the wire.
    let signature = Signature::new([Shape::String, Shape::S32, Shape::Bytes], [Shape::U64]);
    let arguments =
        [Val::String("hé".into()), Val::S32(-65), Val::List(vec![Val::U8(1), Val::U8(255)])];
    let bytes = signature.encode_arguments(&arguments).unwrap();
    assert_eq!(bytes[8..], [3, b'h', 0xc3, 0xa9, 0x81, 0x01, 2, 1, 255]);
    assert_eq!(signature.encode_results(&[Val::U64(300)]).unwrap(), [0xac, 0x02]);
}
