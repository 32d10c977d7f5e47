//! Compiling in a process of its own.
//!
//! A component can be made so that compiling it takes hours, or all memory; and a compiler that is
//! at work can't be interrupted from within its process. So a node has another process do it,
//! which ends itself when it has used what it may ([`serve`]'s caller sets that up), and is ended
//! when it takes too long. What it answers is native code: it comes over a pipe from a process
//! that this one has started from its own program, and from nowhere else.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{EngineConfig, EngineError, common};

/// The first byte of an answer with code, and of one with an error's text.
const CODE: u8 = 0;
const ERROR: u8 = 1;

/// The most code that is taken, in bytes.
const MAX_CODE: u64 = 1 << 30;

/// The program that compiles, and how long it may take.
#[derive(Debug, Clone)]
pub struct CompilerProcess {
    /// The program; it calls [`serve`].
    pub program: PathBuf,
    /// What it is told.
    pub args: Vec<OsString>,
    /// How long it may take. It is then ended, and the component named as one that can't be
    /// compiled.
    pub time: Duration,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompileError {
    #[error("compiling it took longer than {0:?}, or more memory than it may, and was given up")]
    TooMuch(Duration),
    #[error("{0}")]
    Invalid(String),
    #[error("the process that compiles can't be started: {0}")]
    Process(io::Error),
}

impl CompilerProcess {
    /// The code of a component.
    pub(super) fn compile(&self, memory: usize, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(CompileError::Process)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(CompileError::Process(io::Error::other("it has no pipes")));
        };
        let (done, answer) = mpsc::channel();
        let read = move || {
            let mut all = Vec::new();
            let read = stdout.take(MAX_CODE).read_to_end(&mut all);
            let _ = done.send(read.map(|_| all));
        };
        let reader = std::thread::Builder::new().name("compiled".into()).spawn(read);
        let asked = reader.and_then(|_| {
            // It reads everything before it begins to compile or to answer.
            stdin.write_all(&(memory as u64).to_le_bytes())?;
            stdin.write_all(bytes)?;
            drop(stdin);
            Ok(())
        });
        let answer = match asked {
            Ok(()) => answer.recv_timeout(self.time).ok(),
            // It ended while it was being told what to do: its answer says why, if there is one.
            Err(_) => answer.recv_timeout(Duration::from_secs(1)).ok(),
        };
        // Whether it has ended by itself or not: it is not needed any more.
        let _ = child.kill();
        let _ = child.wait();
        match answer {
            Some(Ok(answer)) => match answer.split_first() {
                Some((&CODE, code)) => Ok(code.to_vec()),
                Some((&ERROR, why)) => {
                    Err(CompileError::Invalid(String::from_utf8_lossy(why).into_owned()))
                }
                _ => Err(CompileError::TooMuch(self.time)),
            },
            Some(Err(error)) => Err(CompileError::Process(error)),
            None => Err(CompileError::TooMuch(self.time)),
        }
    }
}

/// What the process that compiles does: reads a component from `input` until its end, and writes
/// its code, or what is wrong with it, to `output`.
pub fn serve(input: &mut impl Read, output: &mut impl Write) -> Result<(), EngineError> {
    let mut memory = [0; 8];
    input.read_exact(&mut memory).map_err(EngineError::Compiler)?;
    let memory = usize::try_from(u64::from_le_bytes(memory)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(EngineError::Compiler)?;
    let config = EngineConfig { memory, ..EngineConfig::default() };
    let engine = wasmtime::Engine::new(&common(&config)).map_err(EngineError::Engine)?;
    let (kind, answer) = match engine.precompile_component(&bytes) {
        Ok(code) => (CODE, code),
        Err(error) => (ERROR, format!("{error:#}").into_bytes()),
    };
    output
        .write_all(&[kind])
        .and_then(|()| output.write_all(&answer))
        .map_err(EngineError::Compiler)?;
    output.flush().map_err(EngineError::Compiler)
}
