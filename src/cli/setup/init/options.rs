//! The flags of `init`. What is not given is asked for, on a terminal.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::setup::systemd_dropin;

/// The flags of a login with a password, which cannot be combined with those of RingEX.
const ADMIN: [&str; 4] = ["username", "platform_id", "password_file", "password_stdin"];

/// The arguments of `init`.
#[derive(Args)]
pub struct InitOptions {
    /// Name of the account in the policy: lower-case letters, digits and dashes
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    #[command(flatten)]
    pub login: LoginOptions,
    #[command(flatten)]
    pub sink: SinkOptions,
    #[command(flatten)]
    pub mail: MailOptions,
    /// Address of RingCX, if not the usual one; for example that of the simulator
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Address of RingEX, if not the usual one
    #[arg(long, value_name = "URL")]
    pub ringex_url: Option<String>,
    /// An additional certificate to trust for RingCX and RingEX
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How passwords are stored
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Keep::Auto)]
    pub credential: Keep,
    /// Where to write the drop-in for the systemd unit
    #[arg(long, value_name = "FILE", default_value = systemd_dropin::PLACE)]
    pub dropin: PathBuf,
    /// Do not check the login, the sink and the mail server at the end
    #[arg(long)]
    pub offline: bool,
    /// Replace an existing policy without asking
    #[arg(long)]
    pub force: bool,
}

/// How the account logs in.
#[derive(Args)]
pub struct LoginOptions {
    /// The RingCX user whose tokens are rotated; preferably one used for nothing else
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// The platform of that user, such as aws80
    #[arg(long, value_name = "ID")]
    pub platform_id: Option<String>,
    /// Read the password from this file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from stdin
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// How the account logs in [default: ringex if one of its flags is given, else admin]
    #[arg(long, value_enum, value_name = "HOW")]
    pub login: Option<LoginMethod>,
    /// The client id of the RingEX app
    #[arg(long, value_name = "ID", conflicts_with_all = ADMIN)]
    pub client_id: Option<String>,
    /// Read the client secret of the app from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ADMIN)]
    pub client_secret_file: Option<PathBuf>,
    /// Read the JWT of the RingEX user from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ADMIN)]
    pub jwt_file: Option<PathBuf>,
}

/// Where the token goes.
#[derive(Args)]
pub struct SinkOptions {
    /// The file to write the token to [default: /run/ringcx-rotator/tokens/NAME]
    #[arg(long, value_name = "FILE")]
    pub sink_path: Option<PathBuf>,
    /// The group that may read that file [default: ringcx-token, for the default file]
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
}

/// Who is notified of failures.
#[derive(Args)]
pub struct MailOptions {
    /// Recipient of mail about failures; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    pub mail_to: Vec<String>,
    /// Sender of the mail [default: ringcx-rotator at the domain of the first recipient]
    #[arg(long, value_name = "ADDRESS", requires = "mail_to")]
    pub mail_from: Option<String>,
    /// The mail server [default: localhost]
    #[arg(long, value_name = "HOST", requires = "mail_to")]
    pub smtp_host: Option<String>,
    /// Its port [default: 587, 465 or 25, depending on --smtp-tls]
    #[arg(long, value_name = "PORT", requires = "mail_to")]
    pub smtp_port: Option<u16>,
    /// How the connection to it is protected [default: starttls, or none for a server on this
    /// machine]
    #[arg(long, value_enum, value_name = "HOW", requires = "mail_to")]
    pub smtp_tls: Option<Tls>,
    /// The user for the login to the mail server
    #[arg(long, value_name = "USER", requires = "mail_to")]
    pub smtp_username: Option<String>,
    /// Read that user's password from this file
    #[arg(long, value_name = "FILE", requires = "smtp_username")]
    pub smtp_password_file: Option<PathBuf>,
    /// An additional certificate to trust for the mail server
    #[arg(long, value_name = "FILE", requires = "mail_to")]
    pub smtp_ca_file: Option<PathBuf>,
}

/// How an account logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoginMethod {
    /// As a RingCX user, with a password
    Admin,
    /// Through RingEX, with the client secret of an app and a JWT
    Ringex,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// Plain at first, then STARTTLS
    Starttls,
    /// TLS from the first byte
    Implicit,
    /// No protection: only for a server on this machine
    None,
}

/// How passwords are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// Encrypted for this machine if that is possible, else as a file that only root can read
    Auto,
    /// Encrypted for this machine; an error if that is not possible
    Encrypted,
    /// As a file that only root can read
    Plain,
}
