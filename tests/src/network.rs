//! A network of the test's own: network namespaces, each with a cable into one bridge. What that
//! needs of the machine, [`networks`](crate::requirement::networks) asks for.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The port that nodes take where none is given.
const NODE_PORT: u16 = 4747;

/// Tells the networks of this process apart.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A bridge in a namespace of its own, and places that are wired to it.
#[derive(Debug)]
pub struct Network {
    /// What the names of all its namespaces begin with.
    prefix: String,
    bridge: Arc<Namespace>,
    places: u8,
}

/// Where a node can run: a namespace with one interface, `eth0`.
#[derive(Debug, Clone)]
pub struct Place {
    namespace: Arc<Namespace>,
    /// The other end of the cable, at the bridge or at the router.
    cable: String,
    bridge: Arc<Namespace>,
    address: Ipv4Addr,
}

/// How the router of a place hides it. Both let in only what answers something (the filtering of
/// RFC 4787 that depends on address and port).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// One port outside for each port inside, whoever it talks to: a port-restricted cone.
    Cone,
    /// Another port outside for each address that it talks to.
    Symmetric,
}

/// A network namespace, removed when this is dropped.
#[derive(Debug)]
struct Namespace(String);

impl Network {
    /// A bridge without places.
    pub fn new() -> Self {
        sweep();
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("wattle-{}-{number}", std::process::id());
        let bridge = Arc::new(Namespace::new(format!("{prefix}-bridge")));
        // Without snooping, so that multicast reaches everybody from the first packet on.
        bridge.ip("link add br0 type bridge mcast_snooping 0");
        bridge.ip("link set br0 up");
        Self { prefix, bridge, places: 0 }
    }

    /// One more place on the bridge.
    pub fn place(&mut self) -> Place {
        self.place_at("br0")
    }

    fn place_at(&mut self, switch: &str) -> Place {
        let (namespace, cable, address) = self.wire(switch);
        // A way out that leads nowhere: a node that wants to phone somebody is to try.
        namespace.ip("route add default via 10.77.0.254");
        Place { namespace, cable, bridge: Arc::clone(&self.bridge), address }
    }

    /// Makes a second bridge, joined to the first by one link.
    pub fn lay_link(&mut self) {
        self.bridge.ip("link add br1 type bridge mcast_snooping 0");
        self.bridge.ip("link set br1 up");
        self.bridge.ip("link add thin0 type veth peer name thin1");
        self.bridge.ip("link set thin0 master br0 up");
        self.bridge.ip("link set thin1 master br1 up");
    }

    /// One more place on the second bridge.
    pub fn place_behind_link(&mut self) -> Place {
        self.place_at("br1")
    }

    /// Cuts the link between the bridges.
    pub fn unplug_link(&self) {
        self.bridge.ip("link set thin0 down");
    }

    /// Joins them again.
    pub fn plug_link(&self) {
        self.bridge.ip("link set thin0 up");
    }

    /// How many bytes have crossed the link between the bridges, in both directions, with the heads
    /// of their Ethernet frames.
    pub fn link_bytes(&self) -> u64 {
        let mut cat = Command::new("ip");
        cat.args(["netns", "exec", &self.bridge.0, "cat"]);
        let counters = ["rx_bytes", "tx_bytes"];
        cat.args(counters.map(|name| format!("/sys/class/net/thin0/statistics/{name}")));
        run(cat).lines().filter_map(|line| line.parse::<u64>().ok()).sum()
    }

    /// Drops what `place` sends over the link between the bridges, and what comes for it.
    pub fn keep_from_link(&self, place: &Place) {
        self.nft("add table bridge cut");
        self.nft("add chain bridge cut forward { type filter hook forward priority 0; }");
        for link in ["thin0", "thin1"] {
            for (from, to) in [(link, place.cable.as_str()), (place.cable.as_str(), link)] {
                self.nft(&format!("add rule bridge cut forward iifname {from} oifname {to} drop"));
            }
        }
    }

    /// One more place, behind a router of its own. All such places have the same address inside,
    /// as they do in many homes.
    pub fn place_behind(&mut self, nat: Nat) -> Place {
        let (router, _, _) = self.wire("br0");
        let address = Ipv4Addr::new(192, 168, 1, 2);
        let namespace = Arc::new(Namespace::new(format!("{}-in", router.0)));
        let cable = "lan0".to_owned();
        let other_end = format!("eth0 netns {}", namespace.0);
        router.ip(&format!("link add {cable} type veth peer name {other_end}"));
        router.ip(&format!("link set {cable} up"));
        router.ip(&format!("address add 192.168.1.1/24 dev {cable}"));
        namespace.ip("link set lo up");
        namespace.ip("link set eth0 up");
        namespace.ip(&format!("address add {address}/24 dev eth0"));
        namespace.ip("route add default via 192.168.1.1");
        router.exec("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        let nft = |command: &str| drop(router.exec("nft", &[command]));
        let masquerade = match nat {
            Nat::Cone => "masquerade",
            Nat::Symmetric => "masquerade fully-random",
        };
        nft("add table ip nat");
        nft("add chain ip nat out { type nat hook postrouting priority 100; }");
        nft(&format!("add rule ip nat out oifname eth0 {masquerade}"));
        nft("add table inet wall");
        for hook in ["input", "forward"] {
            nft(&format!("add chain inet wall {hook} {{ type filter hook {hook} priority 0; }}"));
            let strange = "iifname eth0 ct state != { established, related } drop";
            nft(&format!("add rule inet wall {hook} {strange}"));
        }
        Place { namespace, cable, bridge: router, address }
    }

    /// A namespace with a cable into a bridge, the cable's end there, and an address.
    fn wire(&mut self, switch: &str) -> (Arc<Namespace>, String, Ipv4Addr) {
        self.places += 1;
        let number = self.places;
        let address = Ipv4Addr::new(10, 77, 0, number);
        let namespace = Arc::new(Namespace::new(format!("{}-{number}", self.prefix)));
        let cable = format!("port{number}");
        let other_end = format!("eth0 netns {}", namespace.0);
        self.bridge.ip(&format!("link add {cable} type veth peer name {other_end}"));
        self.bridge.ip(&format!("link set {cable} master {switch} up"));
        namespace.ip("link set lo up");
        namespace.ip("link set eth0 up");
        namespace.ip(&format!("address add {address}/24 dev eth0"));
        (namespace, cable, address)
    }

    /// Drops what `from` sends to `to`, and nothing else, from now on.
    pub fn cut_one_way(&self, from: &Place, to: &Place) {
        self.nft("add table bridge cut");
        self.nft("add chain bridge cut forward { type filter hook forward priority 0; }");
        let ports = format!("iifname {} oifname {}", from.cable, to.cable);
        self.nft(&format!("add rule bridge cut forward {ports} drop"));
    }

    /// Drops what the two send each other.
    pub fn cut_between(&self, one: &Place, other: &Place) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Gives the router of a place behind one another address outside, as a provider does.
    pub fn readdress(&mut self, place: &Place) {
        self.places += 1;
        let address = Ipv4Addr::new(10, 77, 0, self.places);
        place.bridge.ip("address flush dev eth0");
        place.bridge.ip(&format!("address add {address}/24 dev eth0"));
    }

    /// Takes all cuts back.
    pub fn heal(&self) {
        self.nft("delete table bridge cut");
    }

    fn nft(&self, command: &str) {
        self.bridge.exec("nft", &[command]);
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where a node here is joined at.
    pub fn join_address(&self) -> String {
        format!("{}:{NODE_PORT}", self.address)
    }

    /// A command that runs `program` here. Its process is the program's own.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace.0]).arg(program);
        command
    }

    /// Pulls the cable.
    pub fn unplug(&self) {
        self.bridge.ip(&format!("link set {} down", self.cable));
    }

    /// Puts the cable back.
    pub fn plug(&self) {
        self.bridge.ip(&format!("link set {} up", self.cable));
    }

    /// Drops all that would leave from here, while what others send still arrives.
    pub fn mute(&self) {
        self.nft("add table inet mute");
        self.nft("add chain inet mute out { type filter hook output priority 0; policy drop; }");
        self.nft("add rule inet mute out oif lo accept");
    }

    /// Drops what arrives here, unless it answers something that left from here.
    pub fn wall_in(&self) {
        self.nft("add table inet wall");
        self.nft("add chain inet wall in { type filter hook input priority 0; policy drop; }");
        self.nft("add rule inet wall in iif lo accept");
        self.nft("add rule inet wall in ct state { established, related } accept");
    }

    /// Takes [`Place::mute`] back.
    pub fn unmute(&self) {
        self.nft("delete table inet mute");
    }

    /// Counts from now on what leaves for anything but the mesh: for other addresses than those of
    /// this network, or other ports than those of nodes and of multicast DNS.
    pub fn watch(&self) {
        self.nft("add table inet watch");
        self.nft("add counter inet watch strange");
        self.nft("add chain inet watch out { type filter hook output priority 0; }");
        let rule = |rule: &str| self.nft(&format!("add rule inet watch out {rule}"));
        rule("oif lo accept");
        // The kernel's own: neighbours, multicast groups.
        rule("meta l4proto { icmp, icmpv6, igmp } accept");
        rule("ip daddr 224.0.0.251 udp dport 5353 accept");
        rule(&format!("ip daddr 10.77.0.0/24 udp dport {NODE_PORT} accept"));
        // Over IPv6 nodes have addresses too, those of this link alone.
        rule(&format!("ip6 daddr fe80::/10 udp dport {NODE_PORT} accept"));
        rule("ip6 daddr ff02::fb udp dport 5353 accept");
        rule("counter name strange");
    }

    /// How many such packets there were.
    pub fn strange_packets(&self) -> u64 {
        let said = self.nft("list counter inet watch strange");
        let mut words = said.split_whitespace();
        words.find(|word| *word == "packets").expect("nft tells packets");
        words.next().and_then(|count| count.parse().ok()).expect("nft tells how many")
    }

    fn nft(&self, command: &str) -> String {
        self.namespace.exec("nft", &[command])
    }
}

impl Namespace {
    fn new(name: String) -> Self {
        let mut ip = Command::new("ip");
        ip.args(["netns", "add", &name]);
        run(ip);
        Self(name)
    }

    fn ip(&self, arguments: &str) {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.0]).args(arguments.split(' '));
        run(ip);
    }

    fn exec(&self, program: &str, arguments: &[&str]) -> String {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &self.0, program]).args(arguments);
        run(ip)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(name: &str) {
    let done = Command::new("ip").args(["netns", "delete", name]).status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("the network namespace {name} is still there");
    }
}

/// Removes what test processes that were killed have left behind.
fn sweep() {
    let mut list = Command::new("ip");
    list.args(["netns", "list"]);
    for line in run(list).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name.strip_prefix("wattle-").and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|id| id.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{owner}")).exists() {
            remove(name);
        }
    }
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirement::networks;

    #[test]
    fn what_leaves_for_anything_but_the_mesh_is_counted() {
        let test = "what_leaves_for_anything_but_the_mesh_is_counted";
        if !networks(test) {
            return;
        }
        let mut network = Network::new();
        let (here, there) = (network.place(), network.place());
        let send = |to: &str| {
            let mut shell = here.command(Path::new("bash"));
            shell.args(["-c", &format!("echo x > /dev/udp/{to}")]);
            shell.output().unwrap();
        };
        here.watch();
        send(&format!("{}/{NODE_PORT}", there.address()));
        assert_eq!(here.strange_packets(), 0);
        send(&format!("{}/53", there.address()));
        send("192.0.2.1/4747");
        assert_eq!(here.strange_packets(), 2);
    }
}
