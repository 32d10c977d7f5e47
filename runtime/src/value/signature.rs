//! Everything about a function's type that its calls need.

use wasmtime::component::Val;
use wasmtime::component::types::ComponentFunc;
use wattle_contracts::id::Digest;

use super::decode::Reader;
use super::shape::Deriver;
use super::{DecodeError, EncodeError, PlainList, Shape, ShapeError};

/// How many bytes of fingerprint stand before the arguments.
const FINGERPRINT: usize = 8;

/// The shapes of a function's parameters and results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    params: Box<[Shape]>,
    results: Box<[Shape]>,
    fingerprint: u64,
}

impl Signature {
    /// A function with these shapes.
    pub fn new(params: impl Into<Box<[Shape]>>, results: impl Into<Box<[Shape]>>) -> Self {
        let (params, results) = (params.into(), results.into());
        let text =
            Shape::Tuple([Shape::Tuple(params.clone()), Shape::Tuple(results.clone())].into());
        let digest = Digest::of(text.to_string().as_bytes());
        let fingerprint = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Self { params, results, fingerprint: u64::from_le_bytes(fingerprint) }
    }

    /// The signature of a function of a component.
    pub fn of(ty: &ComponentFunc) -> Result<Self, ShapeError> {
        let mut deriver = Deriver::new();
        let params: Vec<_> =
            ty.params().map(|(_, ty)| deriver.shape(&ty)).collect::<Result<_, _>>()?;
        let results: Vec<_> =
            ty.results().map(|ty| deriver.shape(&ty)).collect::<Result<_, _>>()?;
        Ok(Self::new(params, results))
    }

    /// The shapes of the parameters.
    pub fn params(&self) -> &[Shape] {
        &self.params
    }

    /// The shapes of the results: none or one.
    pub fn results(&self) -> &[Shape] {
        &self.results
    }

    /// The same for two functions whose values can be exchanged, and only for those: the types in
    /// order, the names of fields and cases, but not those of the parameters.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The arguments of a call as bytes, with the fingerprint in front.
    pub fn encode_arguments(&self, arguments: &[Val]) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(FINGERPRINT + 56);
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        encode_all(&self.params, arguments, &mut bytes)?;
        Ok(bytes)
    }

    /// The arguments that another node encoded with the same signature.
    pub fn decode_arguments(&self, bytes: &[u8]) -> Result<Vec<Val>, DecodeError> {
        let rest = self.after_fingerprint(bytes)?;
        let mut arguments = Vec::with_capacity(self.params.len());
        decode_all(&self.params, rest, |value| arguments.push(value))?;
        Ok(arguments)
    }

    fn after_fingerprint<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let (fingerprint, rest) = bytes.split_first_chunk().ok_or(DecodeError::Short)?;
        if u64::from_le_bytes(*fingerprint) != self.fingerprint {
            return Err(DecodeError::OtherSignature);
        }
        Ok(rest)
    }

    /// [`Signature::encode_arguments`] for arguments of types that are known.
    pub(crate) fn encode_plain_arguments<P: PlainList>(&self, arguments: &P) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FINGERPRINT + 56);
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        arguments.encode(&mut bytes);
        bytes
    }

    /// [`Signature::decode_arguments`] for arguments of types that are known.
    pub(crate) fn decode_plain_arguments<P: PlainList>(
        &self,
        bytes: &[u8],
    ) -> Result<P, DecodeError> {
        decode_plain(self.after_fingerprint(bytes)?)
    }

    /// The results of a call as bytes.
    pub fn encode_results(&self, results: &[Val]) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(64);
        encode_all(&self.results, results, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the results that another node encoded into `slots`, one for each.
    pub fn decode_results_into(&self, bytes: &[u8], slots: &mut [Val]) -> Result<(), DecodeError> {
        let mut slots = slots.iter_mut();
        decode_all(&self.results, bytes, |value| {
            if let Some(slot) = slots.next() {
                *slot = value;
            }
        })
    }
}

/// Values of types that are known, and nothing after them.
pub(crate) fn decode_plain<L: PlainList>(bytes: &[u8]) -> Result<L, DecodeError> {
    let mut reader = Reader::new(bytes);
    let values = L::decode(&mut reader)?;
    reader.finish()?;
    Ok(values)
}

fn encode_all(shapes: &[Shape], values: &[Val], bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    if shapes.len() != values.len() {
        return Err(EncodeError::Count { expected: shapes.len(), found: values.len() });
    }
    for (shape, value) in shapes.iter().zip(values) {
        shape.encode(value, bytes)?;
    }
    Ok(())
}

fn decode_all(
    shapes: &[Shape],
    bytes: &[u8],
    mut each: impl FnMut(Val),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    for shape in shapes {
        each(reader.value(shape)?);
    }
    reader.finish()
}
