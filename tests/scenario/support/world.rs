//! What stands behind the uplink: a name server that knows one name.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Answers for this name on 192.0.2.1:53 until the machine ends, and with
/// NXDOMAIN for all others.
pub(crate) fn serve_name(name: &'static str, address: Ipv4Addr) {
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        // The thread alone enters the world's network.
        setns(
            File::open("/run/netns/world").unwrap(),
            CloneFlags::CLONE_NEWNET,
        )
        .unwrap();
        let socket = UdpSocket::bind("192.0.2.1:53").unwrap();
        ready.send(()).unwrap();
        let mut question = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..length], name, address) {
                let _ = socket.send_to(&answer, asker);
            }
        }
    });
    is_ready.recv().unwrap();
}

/// The reply to a packet with one question; additional records are dropped.
fn answer(packet: &[u8], known: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = packet.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let asks_for_address = packet.get(at..at + 2)? == [0, 1];
    let is_known = labels.join(".") == known;
    let answers = u8::from(is_known && asks_for_address);
    let code = if is_known { 0 } else { 3 };
    let mut reply = packet.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(packet.get(12..at + 4)?);
    if answers == 1 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
