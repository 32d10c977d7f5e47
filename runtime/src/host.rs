//! The interfaces that this host implements itself, and how each gets into a linker.

mod clock;
mod config;
mod http;
mod keyvalue;
mod logging;
mod messaging;
mod secrets;
mod stdio;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{self as wasi, cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi_http::p2::bindings as wasi_http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};
use wattle_contracts::id::ContractId;

pub(crate) use self::clock::Clock;
pub(crate) use self::http::REQUEST_HANDLER;
pub(crate) use self::stdio::LogStream;
use crate::state::State;

/// One interface that the host has.
pub(crate) struct HostInterface {
    /// Its package and name.
    pub(crate) name: &'static str,
    /// The version that is implemented.
    pub(crate) version: &'static str,
    add: fn(&mut Linker<State>) -> wasmtime::Result<()>,
}

impl HostInterface {
    /// The interface that implements `contract`, in whatever version.
    pub(crate) fn find(contract: &ContractId) -> Option<&'static Self> {
        let name = contract.unversioned().to_string();
        INTERFACES.iter().find(|interface| interface.name == name)
    }

    /// Whether the implemented version serves somebody built against `contract`.
    pub(crate) fn serves(&self, contract: &ContractId) -> bool {
        let own: Option<ContractId> = format!("{}@{}", self.name, self.version).parse().ok();
        own.is_some_and(|own| own.covers(contract))
    }

    /// Defines it.
    pub(crate) fn add(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        (self.add)(linker)
    }
}

/// Gives the `wasi:io` implementations the table that their resources live in, and nothing else:
/// going through the whole WASI context would create one for each component that only streams.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// The version of the WASI 0.2 packages that wasmtime 48 implements.
const WASI: &str = "0.2.12";

macro_rules! interfaces {
    ($($name:literal $version:expr => $add:expr;)*) => {
        &[$(HostInterface { name: $name, version: $version, add: $add }),*]
    };
}

/// Everything that the host implements.
pub(crate) const INTERFACES: &[HostInterface] = interfaces! {
    "wasi:io/error" WASI => |l| io::error::add_to_linker::<_, HasTable>(l, State::table);
    "wasi:io/poll" WASI => |l| io::poll::add_to_linker::<_, HasTable>(l, State::table);
    "wasi:io/streams" WASI => |l| io::streams::add_to_linker::<_, HasTable>(l, State::table);
    "wasi:clocks/monotonic-clock" WASI => clock::add;
    "wasi:clocks/wall-clock" WASI =>
        |l| clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks);
    "wasi:random/random" WASI =>
        |l| random::random::add_to_linker::<_, WasiRandom>(l, State::random);
    "wasi:random/insecure" WASI =>
        |l| random::insecure::add_to_linker::<_, WasiRandom>(l, State::random);
    "wasi:random/insecure-seed" WASI =>
        |l| random::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random);
    "wasi:cli/environment" WASI =>
        |l| cli::environment::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/exit" WASI => |l| cli::exit::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/stdin" WASI => |l| cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/stdout" WASI => |l| cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/stderr" WASI => |l| cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/terminal-input" WASI =>
        |l| cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/terminal-output" WASI =>
        |l| cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/terminal-stdin" WASI =>
        |l| cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/terminal-stdout" WASI =>
        |l| cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:cli/terminal-stderr" WASI =>
        |l| cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli);
    "wasi:filesystem/types" WASI =>
        |l| filesystem::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem);
    "wasi:filesystem/preopens" WASI =>
        |l| filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem);
    "wasi:sockets/network" WASI => |l| {
        let options = wasi::LinkOptions::default();
        sockets::network::add_to_linker::<_, WasiSockets>(l, &(&options).into(), State::sockets)
    };
    "wasi:sockets/instance-network" WASI =>
        |l| sockets::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:sockets/ip-name-lookup" WASI =>
        |l| sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:sockets/tcp" WASI => |l| sockets::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:sockets/tcp-create-socket" WASI =>
        |l| sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:sockets/udp" WASI => |l| sockets::udp::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:sockets/udp-create-socket" WASI =>
        |l| sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets);
    "wasi:http/types" WASI => http::add_types;
    "wasi:http/outgoing-handler" WASI =>
        |l| wasi_http::http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, State::http);
    "wasi:keyvalue/store" keyvalue::VERSION => keyvalue::add_store;
    "wasi:keyvalue/atomics" keyvalue::VERSION => keyvalue::add_atomics;
    "wasi:keyvalue/batch" keyvalue::VERSION => keyvalue::add_batch;
    "wasi:config/store" config::VERSION => config::add;
    "wasi:logging/logging" logging::VERSION => logging::add;
    "wattle:messaging/producer" messaging::VERSION => messaging::add;
    "wattle:secrets/store" secrets::VERSION => secrets::add;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_a_track_is_served_and_no_other() {
        let serves = |text: &str| {
            let contract = text.parse().unwrap();
            HostInterface::find(&contract).is_some_and(|interface| interface.serves(&contract))
        };
        assert!(serves("wasi:io/poll@0.2.0"));
        assert!(serves("wasi:io/poll@0.2.99"));
        assert!(!serves("wasi:io/poll@0.3.0"));
        assert!(serves("wasi:keyvalue/store@0.2.0-draft"));
        assert!(!serves("wasi:keyvalue/store@0.2.0-draft2"));
        assert!(serves("wasi:logging/logging"));
        assert!(!serves("shop:pricing/price"));
    }

    #[test]
    fn all_of_them_go_into_one_linker() {
        let mut linker = Linker::new(&wasmtime::Engine::default());
        for interface in INTERFACES {
            interface
                .add(&mut linker)
                .unwrap_or_else(|error| panic!("{}: {error:#}", interface.name));
        }
    }
}
