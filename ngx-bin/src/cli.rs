//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rustix::process::Signal;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cli {
    pub(crate) action: Action,
    /// `-q`: say nothing but errors while testing.
    pub(crate) quiet: bool,
    /// `-p`
    pub(crate) prefix: Option<PathBuf>,
    /// `-c`
    pub(crate) file: Option<PathBuf>,
    /// `-e`
    pub(crate) error_log: Option<PathBuf>,
    /// `-g`
    pub(crate) directives: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Serve.
    Run,
    /// `-h`, `-?`
    Help,
    /// `-v`
    Version,
    /// `-V`
    BuiltWith,
    /// `-t`
    Test,
    /// `-T`
    Dump,
    /// `-s`
    Send(Signal),
    /// `--explain`: how this URL would be served.
    Explain(String),
    /// `--directives`
    Directives,
    /// `--variables`
    Variables,
}

/// Reads the command line, the name of the program first.
///
/// # Errors
///
/// What is wrong with it, in nginx's words.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, String> {
    let matches = command()
        .try_get_matches_from(args)
        .map_err(|error| complaint(&error))?;
    let action = action(&matches)?;
    let path = |id| matches.get_one::<PathBuf>(id).cloned();
    Ok(Cli {
        action,
        quiet: matches.get_flag("q"),
        prefix: path("p"),
        file: path("c"),
        error_log: path("e"),
        directives: matches.get_one::<String>("g").cloned().unwrap_or_default(),
    })
}

/// What `-h` prints.
pub(crate) fn help() -> String {
    command().render_help().to_string()
}

fn action(matches: &ArgMatches) -> Result<Action, String> {
    let on = |id| matches.get_flag(id);
    let signal = matches.get_one::<String>("s").map(|name| signal(name));
    Ok(match signal.transpose()? {
        _ if on("h") || on("?") => Action::Help,
        _ if on("V") => Action::BuiltWith,
        _ if on("v") => Action::Version,
        _ if on("directives") => Action::Directives,
        _ if on("variables") => Action::Variables,
        _ if on("T") => Action::Dump,
        _ if on("t") => Action::Test,
        Some(signal) => Action::Send(signal),
        None => match matches.get_one::<String>("explain") {
            Some(url) => Action::Explain(url.clone()),
            None => Action::Run,
        },
    })
}

fn signal(name: &str) -> Result<Signal, String> {
    match name {
        "stop" => Ok(Signal::TERM),
        "quit" => Ok(Signal::QUIT),
        "reopen" => Ok(Signal::USR1),
        "reload" => Ok(Signal::HUP),
        _ => Err(format!("invalid option: \"-s {name}\"")),
    }
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        let short = name.chars().next();
        Arg::new(name)
            .short(short)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        let short = name.chars().next();
        Arg::new(name)
            .short(short)
            .value_name(value)
            .allow_hyphen_values(true)
            .help(help)
    };
    let page = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let path: ValueParser = value_parser!(PathBuf);
    Command::new("nginx")
        .override_usage(
            "nginx [-?hvVtTq] [-s signal] [-p prefix] [-e file] [-c file] [-g directives]",
        )
        .after_help("ngx lua <script> [args]  runs a Lua script; ngx lua -h says how")
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([
            flag("?", "Shows this help"),
            flag("h", "Shows this help").long("help"),
            flag("v", "Shows the version").long("version"),
            flag("V", "Shows the version, and which modules are built in"),
            flag("t", "Tests the configuration and ends"),
            flag("T", "Tests the configuration, prints it and ends"),
            flag("q", "Says nothing but errors while testing"),
            option(
                "s",
                "signal",
                "Tells the running server to stop, quit, reopen or reload",
            ),
            option(
                "p",
                "prefix",
                "Where relative names of files begin [default: /etc/ngx]",
            )
            .value_parser(path.clone()),
            option(
                "e",
                "file",
                "The error log until the configuration names one, or stderr",
            )
            .value_parser(path.clone()),
            option(
                "c",
                "file",
                "The configuration [default: nginx.conf in the prefix]",
            )
            .value_parser(path),
            option(
                "g",
                "directives",
                "Directives that come before the configuration",
            ),
            Arg::new("explain")
                .long("explain")
                .value_name("url")
                .help("Shows which server, location and settings a request for it meets"),
            page("directives", "Prints the reference of directives"),
            page("variables", "Prints the reference of variables"),
        ])
}

/// An error of clap in nginx's words.
fn complaint(error: &clap::Error) -> String {
    let about = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(about)) => about.as_str(),
        _ => "",
    };
    let name = about.trim_start_matches('-');
    if error.kind() != ErrorKind::InvalidValue {
        return format!("invalid option: \"{name}\"");
    }
    let option = name.split(' ').next().unwrap_or_default();
    let what = match option {
        "c" | "e" => "file name",
        "p" => "directory name",
        _ => "parameter",
    };
    let option = about.split(' ').next().unwrap_or_default();
    format!("option \"{option}\" requires {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Cli, String> {
        parse(["ngx"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn options_stand_together_or_apart() {
        let apart = read(&["-t", "-q", "-p", "/x", "-g", "daemon off;"]).unwrap();
        assert_eq!(apart, read(&["-tq", "-p/x", "-gdaemon off;"]).unwrap());
        assert_eq!(apart.action, Action::Test);
        assert!(apart.quiet);
        assert_eq!(apart.prefix, Some(PathBuf::from("/x")));
        assert_eq!(apart.directives, "daemon off;");
        assert_eq!(read(&[]).unwrap().action, Action::Run);
        assert_eq!(read(&["-?"]).unwrap().action, Action::Help);
        assert_eq!(
            read(&["-s", "reload"]).unwrap().action,
            Action::Send(Signal::HUP)
        );
    }

    #[test]
    fn the_last_of_several_counts() {
        let cli = read(&["-c", "a", "-c", "b"]).unwrap();
        assert_eq!(cli.file, Some(PathBuf::from("b")));
    }

    #[test]
    fn mistakes_are_said_as_nginx_says_them() {
        let said = |args: &[&str]| read(args).unwrap_err();
        assert_eq!(said(&["-z"]), "invalid option: \"z\"");
        assert_eq!(said(&["-tz"]), "invalid option: \"z\"");
        assert_eq!(said(&["start"]), "invalid option: \"start\"");
        assert_eq!(said(&["--halp"]), "invalid option: \"halp\"");
        assert!(matches!(read(&["--help"]).unwrap().action, Action::Help));
        assert_eq!(said(&["-s", "sleep"]), "invalid option: \"-s sleep\"");
        assert_eq!(said(&["-c"]), "option \"-c\" requires file name");
        assert_eq!(said(&["-p"]), "option \"-p\" requires directory name");
        assert_eq!(said(&["-g"]), "option \"-g\" requires parameter");
        assert_eq!(said(&["-s"]), "option \"-s\" requires parameter");
        assert_eq!(
            said(&["--explain"]),
            "option \"--explain\" requires parameter"
        );
    }

    #[test]
    fn options_of_ours_are_long() {
        let action = |args: &[&str]| read(args).unwrap().action;
        let url = "http://a/b?c";
        assert_eq!(
            action(&["-c", "x", "--explain", url]),
            Action::Explain(url.to_owned())
        );
        assert_eq!(action(&["--directives"]), Action::Directives);
        assert_eq!(action(&["--variables"]), Action::Variables);
    }

    #[test]
    fn the_help_names_every_option() {
        let help = help();
        for option in "?hvVtTqspecg".chars() {
            let begin = format!("-{option}");
            let mut lines = help.lines().map(str::trim_start);
            assert!(lines.any(|line| line.starts_with(&begin)), "{help}");
        }
    }
}
