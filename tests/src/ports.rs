//! Ports that nobody uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// A free UDP address on this machine. It is free when this returns, and nobody else is given it
/// by the system for a while; that is as good as it gets.
pub fn udp() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("this machine has UDP ports");
    socket.local_addr().expect("a bound socket has an address")
}

/// A free TCP address on this machine, in the same sense.
pub fn tcp() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("this machine has TCP ports");
    socket.local_addr().expect("a bound socket has an address")
}
