//! Builds the program that `init: true` puts in front of the user's: static,
//! without a library, so that its bytes can be part of this one.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/sys/init/program.rs";

fn main() {
    tell(&format!("cargo::rerun-if-changed={SOURCE}"));
    let variable = |name: &str| std::env::var(name).expect("cargo sets it for build scripts");
    let output = PathBuf::from(variable("OUT_DIR")).join("rcompose-init");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .args([
            "--edition=2024",
            "--crate-name=rcompose_init",
            "--crate-type=bin",
        ])
        .args(["--target", &variable("TARGET")])
        .args([
            "-Copt-level=s",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Cdebuginfo=0",
        ])
        .args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static"])
        .args([
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-static",
        ])
        .args(["-Clink-arg=-Wl,--build-id=none"]);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.arg("-o").arg(&output).arg(SOURCE);
    let status = compiler.status().expect("cargo's own compiler can be run");
    assert!(
        status.success(),
        "the init program can't be built: {compiler:?}"
    );
    link();
    tell(&format!(
        "cargo::rustc-env=RCOMPOSE_INIT={}",
        output.display()
    ));
}

/// Links the program for a quick start, which is a sixth of `rcompose exec`:
/// every command starts it once, and a project's first command twice.
///
/// * At a fixed address: with a random one the loader writes 28,000 addresses
///   into 120 pages each time. What the loader places is random all the same:
///   stack, heap and libraries. (containerd, runc and podman come like this.)
/// * With the unwinder in it: the shared one asks the processor for all its
///   features before main, which a virtual machine has to answer one by one.
fn link() {
    tell("cargo::rustc-link-arg-bin=rcompose=-no-pie");
    let environment = std::env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    if environment == "gnu" {
        tell("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

fn tell(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("cargo reads it");
}
