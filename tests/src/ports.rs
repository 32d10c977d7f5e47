//! Ports that nobody uses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many ports there are for each protocol.
const COUNT: u32 = 10_000;

/// A UDP address on this machine for a node that is to be started.
///
/// It is below the ephemeral range (from 32768, ip(7)): out of that the system gives a port to
/// whoever asks for any, which may be before the node is there. And no other test is given it as
/// long as this process lives.
pub fn udp() -> SocketAddr {
    free(10_000, TcpListener::bind, UdpSocket::bind)
}

/// A TCP address, in the same sense.
pub fn tcp() -> SocketAddr {
    free(10_000 + COUNT, UdpSocket::bind, TcpListener::bind)
}

/// One of the ports from `first` on at which `bind` works. Its number is held in the other
/// protocol, with `hold`, which others try first: so they never are in the way of the node.
fn free<H, B>(
    first: u32,
    hold: impl Fn(SocketAddr) -> io::Result<H>,
    bind: impl Fn(SocketAddr) -> io::Result<B>,
) -> SocketAddr {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places, so that they seldom meet.
    let own = std::process::id().wrapping_mul(64);
    let found = (0..COUNT).find_map(|_| {
        let next = own.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(first + next % COUNT).expect("the ports end below 65536");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let held = hold(address).ok()?;
        bind(address).ok()?;
        // Until this process ends.
        std::mem::forget(held);
        Some(address)
    });
    found.expect("one of so many ports is free")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::wait::PATIENCE;

    #[test]
    fn a_port_is_free_for_a_node_and_given_once() {
        let addresses = [udp(), udp(), tcp(), tcp()];
        for (at, address) in addresses.iter().enumerate() {
            assert!(!addresses[..at].contains(address), "{addresses:?}");
            assert!(address.port() < 32_768, "{address}");
        }
        bound(|| UdpSocket::bind(addresses[0]));
        bound(|| TcpListener::bind(addresses[2]));
    }

    /// Another test may be starting a process, which has all that is open here until it is another program.
    fn bound<T>(bind: impl Fn() -> io::Result<T>) {
        let begun = Instant::now();
        while let Err(error) = bind() {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
