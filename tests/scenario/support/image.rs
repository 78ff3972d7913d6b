//! The one image of the scenarios: busybox with links for all its applets, as
//! a docker-archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::machine;

/// The archive of `busybox:local`, made when it isn't there.
pub(crate) fn busybox() -> PathBuf {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE
        .get_or_init(|| {
            let archive = machine::folder().join("busybox.tar");
            if !archive.exists() {
                let own = archive.with_extension(format!("tar.{}", machine_wide_id()));
                fs::write(&own, make(Path::new("/usr/bin/busybox"))).unwrap();
                fs::rename(&own, &archive).unwrap();
            }
            archive
        })
        .clone()
}

/// Pids repeat between machines; the network namespace's number doesn't.
fn machine_wide_id() -> String {
    let namespace = fs::read_link("/proc/self/ns/net").unwrap();
    namespace
        .display()
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

fn make(busybox: &Path) -> Vec<u8> {
    let layer = layer(busybox);
    let digest = hex(&layer);
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    })
    .to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let layer_name = format!("{digest}/layer.tar");
    let manifest = serde_json::json!([{
        "Config": config_name, "RepoTags": ["busybox:local"], "Layers": [layer_name],
    }])
    .to_string();
    let mut archive = tar::Builder::new(Vec::new());
    add_file(&mut archive, "manifest.json", 0o644, manifest.as_bytes());
    add_file(&mut archive, &config_name, 0o644, config.as_bytes());
    add_file(&mut archive, &layer_name, 0o644, &layer);
    archive.into_inner().unwrap()
}

fn layer(busybox: &Path) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (folder, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("var/www", 0o755),
    ] {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        layer
            .append_data(&mut header, folder, std::io::empty())
            .unwrap();
    }
    add_file(
        &mut layer,
        "bin/busybox",
        0o755,
        &fs::read(busybox).unwrap(),
    );
    let applets = Command::new(busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout)
        .unwrap()
        .lines()
        .filter(|name| *name != "busybox")
    {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        layer
            .append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\n";
    add_file(&mut layer, "etc/passwd", 0o644, passwd.as_bytes());
    add_file(
        &mut layer,
        "etc/group",
        0o644,
        b"root:x:0:\nworker:x:1000:\nextra:x:2000:worker\n",
    );
    layer.into_inner().unwrap()
}

fn add_file(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let length = u64::try_from(content.len()).unwrap();
    let mut header = header(tar::EntryType::Regular, mode, length);
    archive.append_data(&mut header, path, content).unwrap();
}

fn header(kind: tar::EntryType, mode: u32, length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(length);
    header.set_mtime(1_700_000_000);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
