//! What a template makes of tokens, and what it must not be able to do.

use super::*;

const TOKEN: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";
const OTHER: &str = "aws80:0ff1ce00-bc74-af1a-2850-1d55a371beef";

fn shown(token: &str, generation: u64) -> Shown {
    Shown {
        token: Token::try_new(token).unwrap(),
        generation: GenerationNo(generation),
        minted_at: DateTime::from_timestamp(1_795_318_200, 0).unwrap(),
    }
}

fn render(source: &str) -> Result<String, TemplateError> {
    let others = [("crm".to_owned(), shown(OTHER, 3))].into();
    let values = Values { account: "ivr", own: &shown(TOKEN, 7), others: &others };
    let text = Template::try_new(source.to_owned())?.render(&values)?;
    Ok(String::from_utf8(text.to_vec()).unwrap())
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(render(source).unwrap(), expected, "{source}");
}

#[track_caller]
fn refused(source: &str, why: &str) {
    let error = render(source).unwrap_err().to_string();
    assert!(error.contains(why), "{source}: {error}");
    assert!(!error.contains("c2353445") && !error.contains("0ff1ce00"), "{error}");
}

#[test]
fn every_name_there_is_can_be_written() {
    check("{{ account }} {{ token }} {{ generation }}\n", &format!("ivr {TOKEN} 7\n"));
    check("{{ minted_at }}", "2026-11-22T03:30:00Z");
    check("{{ fingerprint }}", &Token::try_new(TOKEN).unwrap().fingerprint().to_string());
    check("{{ accounts.crm.token }} {{ accounts[\"crm\"].generation }}", &format!("{OTHER} 3"));
    check(
        "{% for name, it in accounts|items %}{{ name }}={{ it.token }}\n{% endfor %}",
        &format!("crm={OTHER}\n"),
    );
    check("{% if generation > 5 %}new{% else %}old{% endif %}", "new");
    check("no token & <b>\r\n\n", "no token & <b>\r\n\n");
}

#[test]
fn a_name_that_there_is_not_is_an_error_wherever_it_stands() {
    for source in [
        "{{ tokken }}",
        "{{ accounts.nobody.token }}",
        "{{ accounts.crm.secret }}",
        "{% if nothing %}{% endif %}",
        "{% for it in nothing %}{% endfor %}",
        "{{ nothing|json }}",
    ] {
        refused(source, "undefined value");
    }
    refused("one\ntwo\n{{ nothing }}", "line 3: ");
}

#[test]
fn nothing_can_be_reached_but_the_tokens() {
    refused("{% include '/etc/passwd' %}", "syntax error");
    refused("{% extends 'x' %}", "syntax error");
    refused("{% import 'x' as x %}", "syntax error");
    refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "syntax error");
    refused("{{ now() }}", "unknown function");
    refused("{{ token|nothing }}", "unknown filter");
    refused("{{ token", "syntax error");
}

#[test]
fn a_loop_without_an_end_ends() {
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a %}{% endfor %}{% endfor %}";
    assert_eq!(render(loops), Err(TemplateError::TooLong));
    let large = "{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}";
    assert_eq!(render(large), Err(TemplateError::TooLarge));
    assert_eq!(Template::try_new("x".repeat(LARGEST + 1)), Err(TemplateError::TooLarge));
}

#[test]
fn a_value_is_written_as_its_file_wants_it() {
    check("{{ token|json }}", &format!("\"{TOKEN}\""));
    check("{{ 'a\"b\\\\c\n<'|json }}", "\"a\\\"b\\\\c\\n<\"");
    check("{{ generation|json }}", "\"7\"");
    check("{{ token|ini }}", TOKEN);
    check("{{ token|properties }}", TOKEN);
    check("{{ ' a b\\\\ü\n='|properties }}", "\\ a b\\\\\\u00fc\\u000a=");
    check("{{ token|nginx }}", &format!("\"{TOKEN}\""));
    check("{{ 'a \"b\\\\;}'|nginx }}", "\"a \\\"b\\\\;}\"");
    check("{{ token|shell }}", &format!("'{TOKEN}'"));
    check("{{ \"it's $HOME `x`\"|shell }}", "'it'\\''s $HOME `x`'");
}

#[test]
fn a_list_or_map_is_printed_with_double_quotes() {
    check("{{ [token, 1, none, true, 1.0] }}", &format!("[\"{TOKEN}\", 1, None, True, 1.0]"));
    check("{{ {'it\\'s': ['a\"b']} }}", r#"{"it's": ["a\"b"]}"#);
    check("{{ accounts|dictsort|map('first')|list }}", "[\"crm\"]");
    check("{{ 'a:b'.split(':') if false else 'a:b'|split(':') }}", r#"["a", "b"]"#);
    let own = format!("{{\"fingerprint\": \"{}\",", Token::try_new(OTHER).unwrap().fingerprint());
    let text = render("{{ accounts }}").unwrap();
    assert!(text.starts_with(&format!("{{\"crm\": {own}")), "{text}");
    // Two to the power of forty, if it were printed.
    let doubled = "{% set ns = namespace(x=['a']) %}\
                   {% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}";
    assert_eq!(render(doubled), Err(TemplateError::TooLarge));
}

#[test]
fn what_a_file_cannot_say_is_refused() {
    for source in ["{{ 'a;b'|ini }}", "{{ 'a\nb'|ini }}", "{{ ' a'|ini }}", "{{ ''|ini }}", "{{ '50%'|ini }}"]
    {
        refused(source, "invalid operation");
    }
    for source in ["{{ 'a$b'|nginx }}", "{{ 'a\nb'|nginx }}", "{{ [token]|json }}", "{{ accounts|shell }}"] {
        refused(source, "invalid operation");
    }
}

#[test]
fn an_error_at_work_says_where_and_never_what() {
    // The engine would quote the value that is no number.
    refused("{{ token|int + 1 }}", "line 1: ");
    refused("{{ token.nothing }}", "line 1: ");
    refused("{{ (token ~ accounts.crm.token)|round }}", "line 1: ");
}

#[test]
fn a_trial_finds_what_is_wrong_before_there_are_tokens() {
    let trial =
        |source: &str| Template::try_new(source.to_owned()).unwrap().try_out("ivr", &["crm".to_owned()]);
    let good = trial("{{ token }} {{ accounts.crm.token }}").unwrap();
    assert_eq!(good, Trial { lacks_own: false, lacks: BTreeSet::new() });
    let poor = trial("nothing").unwrap();
    assert_eq!(poor, Trial { lacks_own: true, lacks: ["crm".to_owned()].into() });
    let error = trial("\n{{ accounts.sales.token }}").unwrap_err().to_string();
    assert!(error.starts_with("line 2: undefined value"), "{error}");
}
