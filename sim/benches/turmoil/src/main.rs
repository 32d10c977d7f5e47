//! Three nodes that ask each other every ten milliseconds, in turmoil: the yardstick of the same row
//! of `sim/benches/lattice.rs`.
//!
//! `cargo run --release --manifest-path sim/benches/turmoil/Cargo.toml`

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use turmoil::net::UdpSocket;

const PORT: u16 = 4747;
const NODES: [&str; 3] = ["a", "b", "c"];
const EVERY: Duration = Duration::from_millis(10);
const TIME: Duration = Duration::from_secs(600);
const QUESTION: &[u8] = &[0; 64];
const ANSWER: &[u8] = &[1; 64];

async fn node(me: &'static str, answered: Arc<AtomicU64>) -> turmoil::Result {
    let socket = UdpSocket::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    let mut turns = tokio::time::interval(EVERY);
    let mut buffer = [0; 64];
    loop {
        tokio::select! {
            _ = turns.tick() => {
                for other in NODES.iter().filter(|other| **other != me) {
                    socket.send_to(QUESTION, (*other, PORT)).await?;
                }
            }
            came = socket.recv_from(&mut buffer) => {
                let (_, from) = came?;
                match buffer[0] {
                    0 => _ = socket.send_to(ANSWER, from).await?,
                    _ => _ = answered.fetch_add(1, Ordering::Relaxed),
                }
            }
        }
    }
}

/// How many seconds of a core this process has used, to the hundredth.
fn worked() -> turmoil::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn main() -> turmoil::Result {
    let answered = Arc::new(AtomicU64::new(0));
    let mut sim = turmoil::Builder::new()
        .simulation_duration(TIME * 2)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(2))
        .udp_capacity(1024)
        .rng_seed(1)
        .build();
    for me in NODES {
        let answered = Arc::clone(&answered);
        sim.host(me, move || node(me, Arc::clone(&answered)));
    }
    sim.client("end", async {
        tokio::time::sleep(TIME).await;
        Ok(())
    });
    let before = worked()?;
    sim.run()?;
    let (took, answered) = (worked()? - before, answered.load(Ordering::Relaxed));
    println!(
        "turmoil: three nodes, {answered} questions answered in {} s of virtual time, in {took:.2} s of \
         a core: {:.0} messages per second",
        TIME.as_secs(),
        2.0 * answered as f64 / took
    );
    Ok(())
}
