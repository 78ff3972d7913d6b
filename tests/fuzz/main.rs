//! The inputs that fuzzing found, and those that it starts from, on a plain
//! build: what broke a promise once must keep it.

#[expect(unreachable_pub, reason = "a library for the fuzzer, a module here")]
#[path = "src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/inputs");
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(folder.join(name))
            .unwrap_or_else(|error| panic!("no inputs of {name}: {error}"))
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no inputs");
        for input in inputs {
            // Shown when the target panics.
            println!("{}", input.display());
            target(&fs::read(&input).expect("a readable file"));
        }
    }
}

#[test]
fn every_folder_of_inputs_has_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let names = |below: &str| {
        let mut names: Vec<String> = fs::read_dir(folder.join(below))
            .expect("the folder is there")
            .map(|entry| {
                let path = entry.expect("a readable folder").path();
                path.file_stem()
                    .expect("entries have names")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = targets::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    targets.sort();
    assert_eq!(names("inputs"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
