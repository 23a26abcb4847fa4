//! What a unit allows, and what a policy needs of it.

#![expect(
    clippy::disallowed_methods,
    reason = "a unit that a test writes has no reader yet"
)]

use std::collections::BTreeMap;
use std::path::Path;

use super::permissions::MissingPermission;
use super::requirements::{Capability, Host, PathInfo, Requirement};
use super::*;

/// A machine that has what a test says.
#[derive(Default)]
pub struct Made {
    pub groups: BTreeMap<&'static str, u32>,
    pub users: BTreeMap<&'static str, u32>,
    pub files: BTreeMap<&'static str, PathInfo>,
    pub links: BTreeMap<&'static str, &'static str>,
}

impl Host for Made {
    fn group_id(&self, group: &str) -> Option<u32> {
        self.groups
            .get(group)
            .copied()
            .or_else(|| group.parse().ok())
    }

    fn user_id(&self, user: &str) -> Option<u32> {
        self.users.get(user).copied().or_else(|| user.parse().ok())
    }

    fn is_member(&self, _: &str, _: &str) -> bool {
        false
    }

    fn look(&self, path: &Path) -> Option<PathInfo> {
        self.files.get(path.to_str()?).copied()
    }

    fn real(&self, path: &Path) -> PathBuf {
        for (link, to) in &self.links {
            if let Ok(rest) = path.strip_prefix(link) {
                return Path::new(to).join(rest);
            }
        }
        path.to_owned()
    }
}

fn unit(service: &str) -> Unit {
    Unit::parse(&format!(
        "[Unit]\nReadWritePaths=/not/of/the/service\n[Service]\nUser=ringcx-rotator\n{service}"
    ))
}

#[track_caller]
fn check(service: &str, what: Requirement, expected: Option<MissingPermission>) {
    let machine = Made {
        groups: [("ivr", 700), ("alias", 700)].into(),
        links: [("/var/run", "/run")].into(),
        ..Made::default()
    };
    assert_eq!(
        unit(service).missing(&what, &machine),
        expected.into_iter().collect::<Vec<_>>(),
        "{service}"
    );
}

#[track_caller]
fn writes(service: &str, directory: &str, allowed: bool) {
    let lack = MissingPermission::ReadOnly(Path::new(directory).into());
    check(
        service,
        Requirement::Write(directory.into()),
        (!allowed).then_some(lack),
    );
}

#[test]
fn a_directory_is_writable_where_the_deepest_setting_says_so() {
    let strict = "ProtectSystem=strict\n";
    writes("", "/srv/ivr", true);
    writes(strict, "/srv/ivr", false);
    for open in [
        "ReadWritePaths=/srv/ivr",
        "ReadWritePaths=/opt -/srv",
        "ReadWritePaths=\"/srv/ivr\" /opt",
        "ReadWritePaths=/opt \\\n  # a comment between\n  /srv",
        "BindPaths=/data/ivr:/srv/ivr:rbind",
        "BindPaths=/data/ivr\\:1:/srv/ivr",
        "BindPaths=\"/data/ivr:1\":/srv/ivr:rbind",
        "ReadWritePaths=/srv\nReadOnlyPaths=/srv/other",
        "ReadOnlyPaths=/srv\nReadWritePaths=/srv/ivr",
    ] {
        writes(&format!("{strict}{open}"), "/srv/ivr", true);
    }
    for closed in [
        "ReadWritePaths=/srv/ivr2",
        "ReadWritePaths=/srv/ivr/deeper",
        "ReadWritePaths=/srv/ivr\nReadWritePaths=",
        "ReadWritePaths=/srv\nReadOnlyPaths=/srv/ivr",
        "ReadWritePaths=/srv\nInaccessiblePaths=/srv/ivr",
        "# ReadWritePaths=/srv/ivr",
    ] {
        writes(&format!("{strict}{closed}"), "/srv/ivr", false);
    }
    writes("ProtectSystem=full", "/etc/dialer", false);
    writes("ProtectSystem=full", "/srv/ivr", true);
    writes("ProtectSystem=yes", "/etc/dialer", true);
    writes("ProtectSystem=yes", "/usr/share/x", false);
    writes("ProtectSystem=strict", "/dev/shm/x", true);
}

#[test]
fn the_directories_of_the_service_are_its_own_by_whatever_name() {
    let own = "ProtectSystem=strict\nStateDirectory=ringcx-rotator\n\
        RuntimeDirectory=ringcx-rotator:alias other";
    for directory in [
        "/var/lib/ringcx-rotator",
        "/run/ringcx-rotator/tokens",
        "/run/other",
    ] {
        writes(own, directory, true);
    }
    check(
        own,
        Requirement::Write("/var/run/ringcx-rotator/tokens".into()),
        None,
    );
    check(
        own,
        Requirement::Write("/var/run/more".into()),
        Some(MissingPermission::ReadOnly("/run/more".into())),
    );
}

#[test]
fn homes_and_a_private_tmp_are_other_troubles_than_being_read_only() {
    let hidden = "ProtectSystem=strict\nProtectHome=yes\nPrivateTmp=yes\n";
    check(
        hidden,
        Requirement::Write("/home/ivr".into()),
        Some(MissingPermission::HiddenDirectory("/home/ivr".into())),
    );
    check(
        hidden,
        Requirement::Read("/root/secret".into()),
        Some(MissingPermission::HiddenFile("/root/secret".into())),
    );
    check(
        hidden,
        Requirement::Write("/tmp/ivr".into()),
        Some(MissingPermission::PrivateDirectory("/tmp/ivr".into())),
    );
    check(
        hidden,
        Requirement::Read("/var/tmp/ca.pem".into()),
        Some(MissingPermission::PrivateFile("/var/tmp/ca.pem".into())),
    );
    check(hidden, Requirement::Read("/etc/ca.pem".into()), None);
    // ReadWritePaths= opens nothing that is hidden; a bind mount does.
    let named = format!("{hidden}ReadWritePaths=/home/ivr\n");
    check(
        &named,
        Requirement::Write("/home/ivr".into()),
        Some(MissingPermission::HiddenDirectory("/home/ivr".into())),
    );
    let bound = format!(
        "{hidden}ProtectHome=tmpfs\nBindPaths=-/home/ivr -/tmp/ivr\n\
         BindReadOnlyPaths=/root/secret\n"
    );
    check(&bound, Requirement::Write("/home/ivr".into()), None);
    check(&bound, Requirement::Write("/tmp/ivr".into()), None);
    check(&bound, Requirement::Read("/root/secret".into()), None);
}

#[test]
fn groups_capabilities_credentials_and_variables_are_found_however_they_are_given() {
    let group = |name: &str| Requirement::Group(name.to_owned());
    check(
        "",
        group("ivr"),
        Some(MissingPermission::NoMember("ivr".to_owned())),
    );
    check("SupplementaryGroups=audio ivr", group("ivr"), None);
    check("SupplementaryGroups=alias", group("ivr"), None);
    check("SupplementaryGroups=700", group("ivr"), None);
    check("Group=ivr", group("ivr"), None);
    check("", group("ringcx-rotator"), None);

    let chown = Requirement::Capability(Capability::Chown);
    check(
        "CapabilityBoundingSet=CAP_CHOWN",
        chown.clone(),
        Some(MissingPermission::Capability(Capability::Chown)),
    );
    check(
        "AmbientCapabilities=CAP_CHOWN CAP_FOWNER",
        chown.clone(),
        None,
    );
    check("User=", chown, None);

    let credential = || Requirement::Credential("smtp".to_owned());
    check(
        "LoadCredential=sales:/x",
        credential(),
        Some(MissingPermission::Credential("smtp".to_owned())),
    );
    for given in [
        "LoadCredential=smtp:/x",
        "LoadCredentialEncrypted=smtp",
        "SetCredential=smtp:x",
        "ImportCredential=sm*",
    ] {
        check(given, credential(), None);
    }

    let variable = || Requirement::Variable("PASS".to_owned());
    check(
        "Environment=PASSWORD=x",
        variable(),
        Some(MissingPermission::Variable("PASS".to_owned())),
    );
    check("Environment=A=b \"PASS=x y\"", variable(), None);
    check("EnvironmentFile=/etc/x", variable(), None);
}

#[test]
fn a_credential_is_found_where_the_last_line_has_it() {
    let unit = unit(
        "LoadCredential=a:/old\nLoadCredential=a:/with:colon/100%%\n\
         LoadCredentialEncrypted=b:/b.cred\nLoadCredential=c",
    );
    assert_eq!(
        unit.credential("a"),
        Some(Credential::Plain("/with:colon/100%".into()))
    );
    assert_eq!(
        unit.credential("b"),
        Some(Credential::Encrypted("/b.cred".into()))
    );
    assert_eq!(unit.credential("c"), Some(Credential::Plain("c".into())));
    assert_eq!(unit.credential("d"), None);
}

#[test]
fn a_unit_knows_which_policy_it_reads() {
    let start = "ExecStart=/usr/bin/ringcx-rotator";
    for (service, path) in [
        (format!("{start} run"), DEFAULT_CONFIG),
        (format!("{start} run --config /a.toml"), "/a.toml"),
        (format!("{start} --config=/a.toml run"), "/a.toml"),
        (
            format!("{start} run\nEnvironment=X=y RINGCX_ROTATOR_CONFIG=/b.toml"),
            "/b.toml",
        ),
    ] {
        assert_eq!(unit(&service).config(), Path::new(path));
    }
    assert_eq!(Unit::shipped().config(), Path::new(DEFAULT_CONFIG));
}

#[test]
fn of_a_unit_with_dropins_the_first_of_a_name_counts_and_names_are_in_order() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let searched = [first.path().to_owned(), second.path().to_owned()];
    assert!(Unit::found_in(&searched).is_none());
    let put = |directory: &tempfile::TempDir, name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("[Service]\n{text}\n")).unwrap();
    };
    put(&second, NAME, "User=a\nProtectSystem=strict");
    put(&second, "ringcx-rotator.service.d/50-x.conf", "User=never");
    put(&first, "ringcx-rotator.service.d/50-x.conf", "User=c");
    put(
        &second,
        "ringcx-rotator.service.d/10-y.conf",
        "User=b\nGroup=g",
    );
    put(
        &first,
        "ringcx-rotator.service.d/99-z.disabled",
        "User=never",
    );
    let unit = Unit::found_in(&searched).unwrap();
    assert_eq!((unit.user(), unit.groups()), ("c", vec!["g".to_owned()]));
    put(&first, NAME, "User=mine");
    std::fs::remove_dir_all(first.path().join("ringcx-rotator.service.d")).unwrap();
    std::fs::remove_dir_all(second.path().join("ringcx-rotator.service.d")).unwrap();
    assert_eq!(Unit::found_in(&searched).unwrap().user(), "mine");
}

#[test]
fn what_is_quoted_is_had_back_as_one_word() {
    for word in [
        "/srv/ivr",
        "/srv/with blank",
        "100%",
        "a\\b \"c\"",
        "it's",
        "-/x y",
    ] {
        assert_eq!(quoting::split(&quoting::quote(word)), [word], "{word}");
    }
    assert_eq!(quoting::split("  a  \"b c\"d 'e' "), ["a", "b cd", "e"]);
}
