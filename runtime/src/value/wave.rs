//! The arguments of a call as people write them: WAVE text, read by the types of the parameters.

use wasmtime::component::wasm_wave::parser::ParserError;
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::WasmValue;

/// The library that reads it: its types and values, for who has no component at hand.
pub use wasmtime::component::wasm_wave;

/// The longest WAVE text that is read, in bytes.
pub const MAX_WAVE: usize = 1 << 20;

/// Why a text is not the arguments of a function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaveError {
    /// It is longer than [`MAX_WAVE`].
    #[error("they are longer than 1 MiB")]
    TooLong,
    /// It is no WAVE text, or its values are of other types.
    #[error(transparent)]
    Text(ParserError),
}

/// The arguments in `text`, like `"apple", 3` or `("apple", 3)`, of a function whose parameters have
/// these types.
pub fn arguments<V: WasmValue + 'static>(
    text: &str,
    types: &[V::Type],
) -> Result<Vec<V>, WaveError> {
    if text.len() > MAX_WAVE {
        return Err(WaveError::TooLong);
    }
    let text = text.trim();
    let call = if text.starts_with('(') { format!("f{text}") } else { format!("f({text})") };
    // `(1, 2), (3, 4)` are two tuples, not one list of arguments in parentheses.
    let parsed = UntypedFuncCall::parse(&call).or_else(|first| {
        UntypedFuncCall::parse(&format!("f({text})"))
            .map(UntypedFuncCall::into_owned)
            .map_err(|_| first)
    });
    parsed.and_then(|call| call.to_wasm_params::<V>(types)).map_err(WaveError::Text)
}
