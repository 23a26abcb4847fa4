//! Against scripted answers, on a clock that no real time passes on.

use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream, duplex};

use super::*;

/// What a scripted server does when a line begins so; a single dot is the end of a mail.
struct Step {
    to: &'static str,
    after: Duration,
    bytes: Vec<u8>,
    cut: bool,
}

fn step(to: &'static str, bytes: &[u8]) -> Step {
    Step {
        to,
        after: Duration::ZERO,
        bytes: bytes.to_vec(),
        cut: false,
    }
}

/// Answers each line by the first step that fits, in any order, and `250 ok` where none does.
fn server(script: Vec<Step>) -> SmtpSession<DuplexStream> {
    let (ours, theirs) = duplex(4 * 1024 * 1024);
    tokio::spawn(async move {
        let mut stream = BufReader::new(theirs);
        let mut in_mail = false;
        let mut line = Vec::new();
        // A test's conversation has a few dozen lines.
        for _ in 0..100_000 {
            line.clear();
            if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if in_mail && text != "." {
                continue;
            }
            let found = script.iter().find(|step| text.starts_with(step.to));
            let (after, bytes, cut) = match found {
                Some(step) => (step.after, step.bytes.clone(), step.cut),
                None if text == "DATA" => (Duration::ZERO, b"354 go\r\n".to_vec(), false),
                None => (Duration::ZERO, b"250 ok\r\n".to_vec(), false),
            };
            in_mail = text == "DATA" && bytes.starts_with(b"354");
            tokio::time::sleep(after).await;
            if stream.get_mut().write_all(&bytes).await.is_err() || cut {
                return;
            }
        }
    });
    SmtpSession::new(ours)
}

async fn outcomes(script: Vec<Step>) -> Vec<RecipientOutcome> {
    let to = ["a@example.com", "b@example.com", "c@example.com"].map(str::to_owned);
    server(script)
        .hand_over(&to, b"Subject: x\r\n\r\nbody\r\n")
        .await
}

fn is_deferred(outcome: &RecipientOutcome) -> bool {
    matches!(outcome, RecipientOutcome::Deferred(_))
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_the_outcome_that_its_code_says() {
    let outcomes = outcomes(vec![
        step("RCPT TO:<b@", b"450 4.2.0 greylisted\r\n"),
        step("RCPT TO:<c@", b"550 5.1.1 nob\xf6dy\r\n"),
    ])
    .await;
    assert_eq!(
        outcomes,
        [
            RecipientOutcome::Taken,
            RecipientOutcome::Deferred("450 4.2.0 greylisted".into()),
            RecipientOutcome::Refused("550 5.1.1 nob\u{fffd}dy".into()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_of_the_mail_goes_for_all_who_were_to_get_it() {
    for (to, said, wanted) in [
        (".", &b"250 2.0.0 taken as \xe9\xff\r\n"[..], "taken"),
        (".", b"250 \r\n", "taken"),
        (".", b"554 looks like spam\r\n", "refused"),
        (".", b"452 no room\r\n", "deferred"),
        (".", b"354 more\r\n", "deferred"),
        (".", b"nonsense\r\n", "deferred"),
        ("DATA", b"554 no valid recipients\r\n", "refused"),
        ("DATA", b"451 not now\r\n", "deferred"),
        ("DATA", b"250 what\r\n", "deferred"),
    ] {
        let outcomes = outcomes(vec![step(to, said), step("RCPT TO:<b@", b"550 no\r\n")]).await;
        let word = |outcome: &RecipientOutcome| match outcome {
            RecipientOutcome::Taken => "taken",
            RecipientOutcome::Refused(_) => "refused",
            RecipientOutcome::Deferred(_) => "deferred",
        };
        let words: Vec<_> = outcomes.iter().map(word).collect();
        assert_eq!(words, [wanted, "refused", wanted], "{to} {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_phase_may_take_as_long_as_the_standard_says() {
    for (to, minutes) in [("MAIL", 4), ("RCPT TO:<a@", 4), (".", 9)] {
        let slow = Step {
            after: minutes * MINUTE,
            ..step(to, b"250 at last\r\n")
        };
        let mut session = server(vec![slow]);
        session.sender("r@example.com", "").await.unwrap();
        let to = ["a@example.com".to_owned()];
        let outcomes = session.hand_over(&to, b"body\r\n").await;
        assert_eq!(outcomes, [RecipientOutcome::Taken], "{to:?}");
    }
    let slow = Step {
        after: 11 * MINUTE,
        ..step(".", b"250 too late\r\n")
    };
    assert!(outcomes(vec![slow]).await.iter().all(is_deferred));
}

#[tokio::test(start_paused = true)]
async fn where_the_connection_ends_only_what_was_answered_counts() {
    let cut = |to, bytes: &[u8]| Step {
        cut: true,
        ..step(to, bytes)
    };
    let lost = outcomes(vec![cut(".", b"")]).await;
    assert!(lost.iter().all(is_deferred), "{lost:?}");
    let taken = outcomes(vec![cut(".", b"250 queued a")]).await;
    assert_eq!(taken, vec![RecipientOutcome::Taken; 3]);
    for script in [
        vec![cut("RCPT TO:<b@", b"421 closing\r\n")],
        vec![cut("RCPT TO:<b@", b"")],
        vec![cut("DATA", b"")],
    ] {
        let lost = outcomes(script).await;
        assert!(lost.iter().all(is_deferred), "{lost:?}");
    }
    let refused = outcomes(vec![
        step("RCPT TO:<a@", b"550 no\r\n"),
        cut("RCPT TO:<b@", b""),
    ])
    .await;
    assert_eq!(refused[0], RecipientOutcome::Refused("550 no".into()));
    assert!(is_deferred(&refused[1]) && is_deferred(&refused[2]));
}

#[tokio::test(start_paused = true)]
async fn a_large_mail_and_an_endless_answer_end() {
    let mut bytes = b"250-".to_vec();
    bytes.resize(3 * 1024 * 1024, b'x');
    let mut mail = b"Subject: x\r\n\r\n".to_vec();
    mail.extend(b".a line that begins with a dot\r\n".repeat(10_000));
    let to = ["a@example.com".to_owned()];
    let outcomes = server(vec![step(".", &bytes)]).hand_over(&to, &mail).await;
    assert_eq!(outcomes, [RecipientOutcome::Taken]);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_greeted_in_the_way_that_it_knows() {
    let answer = b"250-mx.example.com\r\n250-SIZE 1000\r\n250-auth=LOGIN\r\n\
                   250-AUTH CRAM-MD5 plain\r\n250-smtputf8\r\n250 STARTTLS\r\n";
    let offers = server(vec![step("EHLO rotator.example.com", answer)])
        .hello("rotator.example.com")
        .await
        .unwrap();
    let everything = Offers {
        starttls: true,
        smtputf8: true,
        plain: true,
        login: true,
    };
    assert_eq!(offers, everything);
    let old = server(vec![step("EHLO", b"502 what\r\n")])
        .hello("[10.0.0.1]")
        .await;
    assert_eq!(old.unwrap(), Offers::default());
    let refused = server(vec![step("EHLO", b"550 not you\r\n")])
        .hello("x")
        .await;
    assert!(matches!(refused, Err(SmtpFailure::Reply(reply)) if reply.code == 550));
}

#[test]
fn lines_that_begin_with_a_dot_stay_what_they_are() {
    assert_eq!(dotted(b".\r\na\r\n..b"), b"..\r\na\r\n...b\r\n.\r\n");
    assert_eq!(dotted(b"a\r\n"), b"a\r\n.\r\n");
}
