//! What containers and clients of the bench run: one static program without
//! dependencies, `rustc -O -C target-feature=+crt-static load.rs`.
//!
//!     load lines BYTES             numbered lines of 100 bytes until that many, then exits
//!     load zeros PORT              sends zeros to whoever connects
//!     load echo PORT               sends back what comes
//!     load drain ADDRESS SECONDS   prints bytes a second
//!     load ask ADDRESS CLIENTS SECONDS   prints exchanges a second over that many connections
//!     load names SERVER NAME WINDOW SECONDS   prints answers a second, WINDOW questions under way
//!     load name SERVER NAME COUNT  prints the median of one lookup, in microseconds
//!     load udp-echo ADDRESS        sends datagrams back, for comparison

use std::env;
use std::io::{self, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["lines", bytes] => lines(number(bytes)),
        ["zeros", port] => serve(port, zeros),
        ["echo", port] => serve(port, echo),
        ["drain", address, seconds] => drain(address, number(seconds)),
        ["ask", address, clients, seconds] => ask(address, number(clients), number(seconds)),
        ["names", server, name, window, seconds] => names(server, name, number(window), number(seconds)),
        ["name", server, name, count] => one_name(server, name, number(count)),
        ["udp-echo", address] => udp_echo(address),
        _ => Err(io::Error::other("see the head of load.rs")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {words:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or(1)
}

fn lines(bytes: u64) -> io::Result<()> {
    // One write a line, as programs do that log.
    let mut out = io::stdout().lock();
    for line in 0..bytes / 100 {
        let text = format!("{line:<99}\n");
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

fn serve(port: &str, talk: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || talk(stream));
    }
    Ok(())
}

fn zeros(mut stream: TcpStream) -> io::Result<()> {
    let block = vec![0; 256 * 1024];
    loop {
        stream.write_all(&block)?;
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut block = [0; 4096];
    loop {
        let count = stream.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&block[..count])?;
    }
}

fn drain(address: &str, seconds: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut block = vec![0; 256 * 1024];
    let (began, mut total) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        total += stream.read(&mut block)? as u64;
    }
    println!("{:.0}", total as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

fn ask(address: &str, clients: u64, seconds: u64) -> io::Result<()> {
    let done = Arc::new(AtomicBool::new(false));
    let total = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (address, done, total) = (address.to_owned(), Arc::clone(&done), Arc::clone(&total));
            thread::spawn(move || -> io::Result<()> {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let mut answer = [0; 64];
                while !done.load(Ordering::Relaxed) {
                    stream.write_all(&[b'x'; 64])?;
                    stream.read_exact(&mut answer)?;
                    total.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(seconds));
    let exchanges = total.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    println!("{exchanges:.0}");
    Ok(())
}

/// A question for the address of a name.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

fn names(server: &str, name: &str, window: u64, seconds: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let (mut packet, mut answer) = (question(0, name), [0; 1500]);
    let mut next = 0_u16;
    let mut send = |socket: &UdpSocket| {
        next = next.wrapping_add(1);
        packet[..2].copy_from_slice(&next.to_be_bytes());
        socket.send(&packet)
    };
    for _ in 0..window {
        send(&socket)?;
    }
    let (began, mut answers, mut lost) = (Instant::now(), 0_u64, 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        match socket.recv(&mut answer) {
            Ok(_) => answers += 1,
            Err(_) => lost += 1,
        }
        send(&socket)?;
    }
    if lost > 0 {
        eprintln!("{lost} waits without an answer");
    }
    println!("{:.0}", answers as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

fn one_name(server: &str, name: &str, count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut took = Vec::new();
    let mut answer = [0; 1500];
    for id in 0..count {
        let began = Instant::now();
        socket.send(&question(id as u16, name))?;
        socket.recv(&mut answer)?;
        took.push(began.elapsed());
    }
    took.sort();
    println!("{}", took[took.len() / 2].as_micros());
    Ok(())
}

fn udp_echo(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut block = [0; 1500];
    let mut out = BufWriter::new(io::stdout());
    writeln!(out, "ready")?;
    out.flush()?;
    loop {
        let (count, from) = socket.recv_from(&mut block)?;
        socket.send_to(&block[..count], from)?;
    }
}
