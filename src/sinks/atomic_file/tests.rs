//! A reader never sees less than a whole file, whatever stands in the way of writing it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

mod kept;

#[expect(clippy::disallowed_methods, reason = "puts a file in place for a test")]
fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// What is in the directory; nothing if it is none.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn silent() -> FileAccess {
    FileAccess::default()
}

fn with_mode(mode: u32) -> FileAccess {
    FileAccess {
        mode: Some(mode),
        ..silent()
    }
}

fn is_root() -> bool {
    uzers::get_effective_uid() == 0
}

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    /// None, with the reason on stderr, where this machine does not let us mount.
    fn try_new(arguments: &[&str], at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(arguments).arg(at).output();
        match done {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            Ok(done) => {
                eprintln!(
                    "skipped: cannot mount: {}",
                    String::from_utf8_lossy(&done.stderr)
                );
                None
            }
            Err(error) => {
                eprintln!("skipped: no mount command: {error}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}

/// Both preflight and the real thing refuse, in these words, and leave everything as it was.
#[track_caller]
fn refused(path: &Path, access: &FileAccess, words: &[&str]) {
    let before = names(directory_of(path));
    let content = fs::symlink_metadata(path)
        .ok()
        .filter(Metadata::is_file)
        .map(|_| fs::read(path).unwrap());
    for (what, result) in [
        ("preflight", preflight(path, access)),
        (
            "replace",
            replace(path, &vec![b'n'; 300 * 1024], access, Expect::Any),
        ),
    ] {
        let text = result.expect_err(what).to_string();
        for word in words {
            assert!(text.contains(word), "{what}: {text:?} lacks {word:?}");
        }
    }
    assert_eq!(names(directory_of(path)), before, "something was left over");
    let now = fs::symlink_metadata(path)
        .ok()
        .filter(Metadata::is_file)
        .map(|_| fs::read(path).unwrap());
    assert_eq!(now, content, "the old bytes are gone");
}

// fault: whole-file at sinks/atomic_file replace: the file is written in place
// fault: whole-file at sinks/atomic_file replace: the temporary file is 0644 until it is renamed
#[test]
fn a_reader_sees_old_or_new_bytes_and_never_a_wider_mode() {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap();
    let path = home.path().join("token");
    let contents = [b"a".repeat(40), b"b".repeat(40_000)];
    let access = with_mode(0o640);
    replace(&path, &contents[0], &access, Expect::Any).unwrap();

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let by_path = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let FileRead::File(found) = read(&path, 1 << 20).unwrap() else {
                    panic!("the file was gone")
                };
                assert!(
                    contents.contains(&found.bytes),
                    "torn: {} bytes",
                    found.bytes.len()
                );
                assert_eq!(found.metadata.mode() & 0o7777, 0o640);
                seen.insert(found.bytes.len());
            }
            seen
        });
        let by_listing = scope.spawn(|| {
            let mut temps = 0;
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(home.path()).unwrap().flatten() {
                    let Ok(metadata) = entry.metadata() else {
                        continue;
                    };
                    assert_eq!(
                        metadata.mode() & 0o7777 & !0o640,
                        0,
                        "{:?}",
                        entry.file_name()
                    );
                    temps += usize::from(entry.file_name() != "token");
                }
            }
            temps
        });
        for round in 0..2000 {
            replace(&path, &contents[round % 2], &access, Expect::Any).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(
            by_path.join().unwrap().len(),
            2,
            "the reader never saw a change"
        );
        assert!(
            by_listing.join().unwrap() > 0,
            "the watcher never saw a temporary file"
        );
    });
    assert_eq!(names(home.path()), BTreeSet::from(["token".to_owned()]));
}

// fault: whole-file at sinks/atomic_file replace: mode and owner are not set before the rename
#[test]
fn what_the_policy_leaves_open_is_kept_and_a_new_file_is_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    replace(&path, b"1", &silent(), Expect::Absent).unwrap();
    assert_eq!(mode(&path), 0o600);
    for (had, policy, has) in [
        (0o644, None, 0o644),
        (0o444, None, 0o444),
        (0o666, Some(0o640), 0o640),
        (0o600, Some(0o444), 0o444),
    ] {
        chmod(&path, had);
        replace(
            &path,
            b"2",
            &FileAccess {
                mode: policy,
                ..silent()
            },
            Expect::Any,
        )
        .unwrap();
        assert_eq!(mode(&path), has, "from {had:o} under {policy:?}");
    }
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    std::os::unix::fs::chown(&path, Some(12345), Some(54321)).unwrap();
    chmod(&path, 0o6750);
    let owner = |path: &Path| {
        fs::metadata(path)
            .map(|metadata| (metadata.uid(), metadata.gid()))
            .unwrap()
    };
    replace(&path, b"3", &silent(), Expect::Any).unwrap();
    assert_eq!((owner(&path), mode(&path)), ((12345, 54321), 0o6750));
    let access = FileAccess {
        owner: Some("root".to_owned()),
        group: Some("777".to_owned()),
        ..silent()
    };
    replace(&path, b"4", &access, Expect::Any).unwrap();
    assert_eq!(owner(&path), (0, 777));
}

#[test]
fn only_a_plain_file_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    put(&at("plain"), "old");
    symlink(at("plain"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("pipe"))
            .status()
            .unwrap()
            .success()
    );

    for (name, words) in [
        (
            "link",
            ["a symbolic link", "name the file that it points to"],
        ),
        ("dangling", ["a symbolic link", "name the file"]),
        ("dir", ["a directory", "name a file in it"]),
        ("socket", ["a socket", "name another path"]),
        ("pipe", ["a named pipe", "name another path"]),
    ] {
        refused(&at(name), &silent(), &words);
        // Must come back at all: opening a pipe for reading waits for a writer.
        assert!(
            matches!(read(&at(name), 99), Err(SinkError::Target { .. })),
            "{name} was read"
        );
    }
    refused(Path::new("/dev/null"), &silent(), &["a device"]);
    assert_eq!(fs::read(at("plain")).unwrap(), b"old");
    refused(
        &at("missing").join("token"),
        &silent(),
        &["missing", "No such file"],
    );
    refused(&at("plain").join("token"), &silent(), &["ot a directory"]);
}

#[test]
fn a_directory_may_be_reached_through_a_symlink() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("real")).unwrap();
    symlink(home.path().join("real"), home.path().join("link")).unwrap();
    let path = home.path().join("link/token");
    preflight(&path, &silent()).unwrap();
    replace(&path, b"new", &silent(), Expect::Any).unwrap();
    assert_eq!(fs::read(home.path().join("real/token")).unwrap(), b"new");
}

#[test]
fn a_bind_mounted_file_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (source, path) = (home.path().join("source"), home.path().join("to ken"));
    put(&source, "old");
    put(&path, "hidden");
    let Some(_mount) = Mount::try_new(&["--bind", source.to_str().unwrap()], &path) else {
        return;
    };
    refused(&path, &silent(), &["a mount point", "mount its directory"]);
    assert!(
        target::lists(&fs::read("/proc/self/mountinfo").unwrap(), &path),
        "not found for older kernels"
    );
}

#[test]
fn mounts_are_found_by_their_whole_path() {
    let mounts = b"22 1 0:21 / / rw - ext4 /dev/vda rw\n\
                   40 22 0:21 /a /run/a\\040b/token rw shared:1 - ext4 /dev/vda rw\n";
    for (path, listed) in [
        ("/run/a b/token", true),
        ("/", true),
        ("/run/a b", false),
        ("/run/a b/token2", false),
        ("/a", false),
        ("/run/a\\040b/token", false),
    ] {
        assert_eq!(target::lists(mounts, Path::new(path)), listed, "{path}");
    }
}

#[test]
fn an_immutable_file_is_refused_before_anything_is_minted() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    let set = |flag: &str| {
        Command::new("chattr")
            .arg(flag)
            .arg(&path)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !set("+i") {
        return eprintln!("skipped: chattr does not work here");
    }
    let result =
        std::panic::catch_unwind(|| refused(&path, &silent(), &["immutable", "chattr -ia"]));
    assert!(set("-i"));
    result.unwrap();
}

#[test]
fn a_read_only_mount_is_reported_as_such() {
    let home = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::try_new(&["-t", "tmpfs", "-o", "ro", "none"], home.path()) else {
        return;
    };
    refused(
        &home.path().join("token"),
        &silent(),
        &["create a file in it", "Read-only file system"],
    );
}

// fault: fail-static at sinks/atomic_file replace: a write that failed is renamed anyway
#[test]
fn a_full_disk_leaves_the_old_bytes() {
    let home = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::try_new(&["-t", "tmpfs", "-o", "size=64k", "none"], home.path())
    else {
        return;
    };
    put(&home.path().join("token"), "old");
    refused(
        &home.path().join("token"),
        &silent(),
        &["cannot write", "No space left"],
    );
}

#[test]
fn a_disk_without_inodes_is_full_too() {
    let home = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::try_new(&["-t", "tmpfs", "-o", "nr_inodes=2", "none"], home.path())
    else {
        return;
    };
    put(&home.path().join("token"), "old");
    refused(
        &home.path().join("token"),
        &silent(),
        &["create a file in it", "No space left"],
    );
}

#[test]
fn a_directory_we_may_not_write_to_is_reported() {
    if is_root() {
        return eprintln!("skipped: root may write everywhere");
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    chmod(home.path(), 0o500);
    refused(
        &path,
        &silent(),
        &["create a file in it", "Permission denied"],
    );
    chmod(home.path(), 0o700);
}

#[test]
fn owners_and_groups_are_known_and_ours_to_give() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    let owned = |owner: &str| FileAccess {
        owner: Some(owner.to_owned()),
        ..silent()
    };
    let grouped = |group: &str| FileAccess {
        group: Some(group.to_owned()),
        ..silent()
    };
    refused(
        &path,
        &owned("no-such-user"),
        &["no user `no-such-user` on this machine"],
    );
    refused(
        &path,
        &grouped("no-such-group"),
        &["no group `no-such-group` on this machine"],
    );
    refused(&path, &owned("4294967295"), &["no user"]);
    refused(&path, &grouped("-1"), &["no group"]);
    if is_root() {
        preflight(&path, &owned("12345")).unwrap();
    } else {
        refused(&path, &owned("root"), &["set its owner", "only root may"]);
        refused(
            &path,
            &grouped("root"),
            &["set its group", "member of that group"],
        );
    }
    preflight(&path, &grouped(&uzers::get_effective_gid().to_string())).unwrap();
}

#[test]
fn a_file_planted_by_another_user_does_not_keep_its_owner() {
    if !is_root() {
        return eprintln!("skipped: only root can plant another user's file");
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    preflight(&path, &silent()).unwrap();
    chmod(home.path(), 0o1777);
    refused(&path, &silent(), &["another user's file", "set `owner`"]);
    preflight(
        &path,
        &FileAccess {
            owner: Some("12345".to_owned()),
            ..silent()
        },
    )
    .unwrap();
}

#[test]
fn preflight_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    let FileRead::File(before) = read(&path, 99).unwrap() else {
        panic!("absent")
    };
    preflight(&path, &with_mode(0o640)).unwrap();
    let FileRead::File(after) = read(&path, 99).unwrap() else {
        panic!("absent")
    };
    assert_eq!(before.stamp(), after.stamp());
    assert_eq!(names(home.path()).len(), 1);
}

// fault: fail-static at sinks/atomic_file Expect: another's change since the reading is overwritten
#[test]
fn a_change_by_another_since_the_reading_is_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    put(&path, "old");
    let FileRead::File(found) = read(&path, 99).unwrap() else {
        panic!("absent")
    };
    put(&path, "by another");
    for expect in [Expect::Unchanged(found.stamp()), Expect::Absent] {
        let error = replace(&path, b"ours", &silent(), expect).expect_err("changed");
        assert!(error.to_string().contains("changed by another"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"by another");
    assert_eq!(names(home.path()).len(), 1);
}

#[test]
fn left_over_temporary_files_of_ours_go_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    let stays = [
        "token",
        ".token.ringcx-rotator.",
        ".token.ringcx-rotator.Ab3dEf6hIj1",
        ".token.ringcx-rotator.Ab3dEf6hIj1kx",
        ".token.ringcx-rotator.Ab3dEf6h.j1k",
        ".token2.ringcx-rotator.Ab3dEf6hIj1k",
        "token.ringcx-rotator.Ab3dEf6hIj1k",
        ".token.swp",
    ];
    for name in stays {
        put(&home.path().join(name), "x");
    }
    fs::create_dir(home.path().join(".token.ringcx-rotator.aDirectory00")).unwrap();
    symlink(
        &path,
        home.path().join(".token.ringcx-rotator.aSymlink0000"),
    )
    .unwrap();
    let before = names(home.path());
    put(
        &home.path().join(".token.ringcx-rotator.Ab3dEf6hIj1k"),
        "aws80:left-by-a-crash",
    );
    // Named by the very code that names them, and left as by a crash.
    put(&home.path().join(place::random_name(&path).unwrap()), "x");
    assert_eq!(names(home.path()).len(), before.len() + 2);
    clean_up(&path, &silent());
    assert_eq!(names(home.path()), before);
    clean_up(&home.path().join("missing/token"), &silent());
}

#[test]
fn only_files_of_ours_or_of_the_owner_to_be_are_left_overs() {
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let home = tempfile::tempdir().unwrap();
    let temp = home.path().join(".token.ringcx-rotator.Ab3dEf6hIj1k");
    put(&temp, "x");
    std::os::unix::fs::chown(&temp, Some(12345), None).unwrap();
    clean_up(&home.path().join("token"), &silent());
    assert!(temp.exists());
    clean_up(
        &home.path().join("token"),
        &FileAccess {
            owner: Some("12345".to_owned()),
            ..silent()
        },
    );
    assert!(!temp.exists());
}

#[test]
fn long_names_leave_room_for_that_of_the_temporary_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n".repeat(255));
    replace(&path, b"new", &silent(), Expect::Any).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn no_more_is_read_than_allowed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    assert!(matches!(read(&path, 8), Ok(FileRead::Absent)));
    put(&path, "12345678");
    assert!(matches!(read(&path, 8), Ok(FileRead::File(_))));
    assert!(matches!(read(&path, 7), Ok(FileRead::TooLarge)));
    // Says that it is empty and never ends.
    assert!(matches!(
        read(Path::new("/proc/self/mountinfo"), 8),
        Ok(FileRead::TooLarge)
    ));
}
