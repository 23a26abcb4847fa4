//! What a file has beside its bytes stays, and every step stays in one directory.

use std::process::Command;

use super::*;
use crate::sinks::atomic_file::lock::{Flock, flock};
use crate::sinks::atomic_file::place::sync_directory;

/// What a program prints. None, with a line that says so, where it is not installed; `.ci/run`
/// installs it, so it must be there in CI.
fn output(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let ended = match Command::new(program).args(arguments).arg(path).output() {
        Ok(ended) => ended,
        Err(_) if std::env::var_os("CI").is_none() => {
            eprintln!("SKIPPED: {program} is not installed (Debian: acl, attr)");
            return None;
        }
        Err(error) => panic!("{program}: {error}: install acl and attr"),
    };
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {arguments:?}: {said}");
    Some(String::from_utf8(ended.stdout).unwrap())
}

/// Who may read a file, and its attributes, as the tools show them.
fn shown(path: &Path) -> String {
    let list = output("getfacl", &["-p", "-n"], path).unwrap();
    let attributes = output("getfattr", &["-d", "-m", "-", "--absolute-names"], path);
    format!("{list}\n{}", attributes.unwrap())
}

#[test]
fn an_access_control_list_and_attributes_outlive_a_delivery() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    put(&path, "old");
    chmod(&path, 0o600);
    if output("setfacl", &["-m", "u:65534:r,g:65534:r,m::r"], &path).is_none() {
        return;
    }
    output("setfattr", &["-n", "user.note", "-v", "mine"], &path);
    let before = shown(&path);
    assert!(before.contains("user:65534:r--") && before.contains("user.note"));
    for access in [silent(), with_mode(0o640)] {
        preflight(&path, &access).unwrap();
        replace(&path, b"new", &access, Expect::Any).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(shown(&path), before);
    }
    // Not wider: the owning group had no permission, although the mode shows the mask.
    assert!(before.contains("group::---") && mode(&path) == 0o640);
}

#[test]
fn a_list_that_the_policys_mode_would_cut_off_is_refused_with_what_mends_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "old");
    chmod(&path, 0o600);
    if output("setfacl", &["-m", "u:65534:r"], &path).is_none() {
        return;
    }
    let words = ["access control list", "mode = \"0640\"", "setfacl -b"];
    refused(&path, &with_mode(0o600), &words);
    output("setfacl", &["-b"], &path);
    replace(&path, b"new", &with_mode(0o600), Expect::Any).unwrap();
}

#[test]
fn a_file_without_a_list_gets_none_from_its_directory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    put(&path, "old");
    chmod(&path, 0o640);
    if output("setfacl", &["-d", "-m", "u:65534:rw"], home.path()).is_none() {
        return;
    }
    replace(&path, b"new", &silent(), Expect::Any).unwrap();
    assert!(!shown(&path).contains("65534"), "{}", shown(&path));
    // A first file gets what the directory gives, no wider than its mode.
    let first = home.path().join("first");
    replace(&first, b"new", &silent(), Expect::Any).unwrap();
    assert_eq!(mode(&first), 0o600);
}

#[test]
fn what_a_planter_may_read_is_not_kept() {
    if !is_root() {
        return eprintln!("skipped: only root can plant another user's file");
    }
    let home = tempfile::tempdir().unwrap();
    chmod(home.path(), 0o1777);
    let path = home.path().join("x.env");
    put(&path, "old");
    chmod(&path, 0o666);
    std::os::unix::fs::chown(&path, Some(12345), Some(12345)).unwrap();
    let access = FileAccess {
        owner: Some("0".to_owned()),
        ..silent()
    };
    replace(&path, b"new", &access, Expect::Any).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, 0));
    assert_ne!(found.gid(), 12345);
}

#[test]
fn a_mount_that_ignores_modes_is_found_by_looking() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    put(&path, "x");
    chmod(&path, 0o777);
    let place = Place::open(&path).unwrap();
    let look = FileAttrs::resolve(&with_mode(0o600), &place, None).unwrap();
    let file = fs::File::open(&path).unwrap();
    // As after a chmod that was answered and not done.
    let error = look.verify(&file, &path).expect_err("the mode is wrong");
    let error = error.to_string();
    assert!(
        error.contains("0777") && error.contains("ignores"),
        "{error}"
    );
    look.apply(&file, &path).unwrap();
}

#[test]
fn an_append_only_directory_gets_no_file_at_any_try() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    let done = Command::new("chattr").arg("+a").arg(home.path()).output();
    if !done.is_ok_and(|done| done.status.success()) {
        return eprintln!("SKIPPED: chattr +a does not work here");
    }
    let outcome = std::panic::catch_unwind(|| {
        refused(&path, &silent(), &["append-only", "chattr -ia"]);
    });
    let mended = Command::new("chattr").arg("-a").arg(home.path()).status();
    assert!(mended.unwrap().success());
    outcome.unwrap();
}

#[test]
fn a_directory_that_is_exchanged_on_the_way_gets_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (real, moved) = (home.path().join("real"), home.path().join("moved"));
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&real).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let path = real.join("token");
    put(&path, "old");
    let place = Place::open(&path).unwrap();
    fs::rename(&real, &moved).unwrap();
    symlink(&elsewhere, &real).unwrap();
    let error = replace_at(&place, b"new", &silent(), Expect::Any).expect_err("moved");
    assert!(error.to_string().contains("was moved"), "{error}");
    // Every step is taken in the directory that was opened.
    preflight_at(&place, &silent()).unwrap();
    assert_eq!(names(&elsewhere).len(), 0);
    assert_eq!(names(&moved).len(), 1);
    assert_eq!(fs::read(moved.join("token")).unwrap(), b"old");
}

#[test]
fn threads_of_ours_edit_one_after_the_other() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    put(&path, "0");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let place = Place::open(&path).unwrap();
                    let lock = DirectoryLock::acquire(&place).unwrap();
                    assert!(lock.is_exclusive());
                    let number: u32 = fs::read_to_string(&path).unwrap().parse().unwrap();
                    put(&path, (number + 1).to_string());
                }
            });
        }
    });
    assert_eq!(fs::read(&path).unwrap(), b"80");
}

#[test]
fn a_lock_that_a_reader_holds_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.env");
    let reader = fs::File::open(home.path()).unwrap();
    reader.lock_shared().unwrap();
    let place = Place::open(&path).unwrap();
    let lock = DirectoryLock::acquire(&place).unwrap();
    // What lies there may be in use by the holder.
    assert!(!lock.is_exclusive());
}

#[test]
fn what_a_file_system_cannot_do_to_a_directory_is_done_without() {
    // Answers EBADF, as NFS does.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let bare = rustix::fs::open("/", flags, rustix::fs::Mode::empty()).unwrap();
    assert_eq!(flock(&bare.into()), Flock::Missing);
    // Answers EINVAL, as some network file systems do.
    let proc = fs::File::open("/proc").unwrap();
    assert!(proc.sync_all().is_err());
    sync_directory(&proc).unwrap();
}

#[test]
fn a_file_that_another_sink_writes_under_another_name_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("run"), home.path().join("var-run"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let (one, two) = (real.join("token"), link.join("token"));
    let (first, second) = (Claim::new(&one), Claim::new(&two));
    let hold = |claim: &Claim, path: &Path| claim.hold(&Place::open(path).unwrap());
    hold(&first, &one).unwrap();
    hold(&first, &one).unwrap();
    let error = hold(&second, &two).expect_err("the same file").to_string();
    assert!(error.contains("leads to the same file as"), "{error}");
    drop(first);
    hold(&second, &two).unwrap();
}
