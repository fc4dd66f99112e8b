//! One folder for each fault: what comes, and what the user is told.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use wslk::source::{Fault, FetchRequest, SourceError, SourceTree, TreeId};

use super::server::Server;
use super::{World, members, request, told};

/// A `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the tarball holds; see [`members::tarball`].
    #[serde(default)]
    members: Vec<String>,
    /// What is done to the tarball on disk: `cut N`, `flip N`, `text …`.
    file: Option<String>,
    /// What the server does; see [`Server::start`].
    server: Option<Vec<String>>,
    /// What the folder holds; see [`members::folder`].
    directory: Option<Vec<String>>,
    want: Option<String>,
    /// Part of what the user reads. Without it all must be well in the end.
    error: Option<String>,
    fault: Option<String>,
}

#[test]
fn every_fault_is_told_and_leaves_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/source");
    let mut folders: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() > 40);
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| play(folder).err())
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn play(folder: &Path) -> Result<(), String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let case: Case =
        toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
    let world = World::new();
    let result = fetch(&case, &world);
    let problem = judge(&case, &world, result).err();
    problem.map_or(Ok(()), |problem| Err(format!("{name}: {problem}")))
}

fn fetch(case: &Case, world: &World) -> Result<SourceTree, SourceError> {
    let mut server = None;
    let upstream = if let Some(members) = &case.directory {
        let path = world.path("given");
        members::folder(&path, members);
        path.display().to_string()
    } else if let Some(script) = &case.server {
        server
            .insert(Server::start(members::tarball(&case.members), script))
            .url()
    } else {
        let path = world.path("linux.tar.gz");
        fs::write(
            &path,
            spoil(members::tarball(&case.members), case.file.as_deref()),
        )
        .unwrap();
        path.display().to_string()
    };
    let want = case.want.as_ref().map(|text| text.parse().unwrap());
    let tree = world.fetch(&FetchRequest {
        want,
        ..request(&upstream)?
    });
    if let Some(server) = server {
        assert_eq!(server.steps_left(), 0, "{:?}: {tree:?}", server.requests());
    }
    tree
}

fn spoil(mut tarball: Vec<u8>, how: Option<&str>) -> Vec<u8> {
    let Some((what, rest)) = how.and_then(|how| how.split_once(' ')) else {
        return tarball;
    };
    match what {
        "cut" => tarball.truncate(rest.parse().unwrap()),
        "flip" => tarball[rest.parse::<usize>().unwrap()] ^= 1,
        "text" => tarball = rest.as_bytes().to_vec(),
        other => panic!("no such fault: {other}"),
    }
    tarball
}

fn judge(
    case: &Case,
    world: &World,
    result: Result<SourceTree, SourceError>,
) -> Result<(), String> {
    let escaped = [
        world.path("escaped"),
        world.path("home/escaped"),
        "/tmp/wslk-escaped".into(),
    ];
    if let Some(path) = escaped.iter().find(|path| path.exists()) {
        return Err(format!("{} was written", path.display()));
    }
    let (error, expected) = match (result, &case.error) {
        (Ok(tree), None) => return whole(&tree),
        (Ok(_), Some(expected)) => return Err(format!("it went well instead of `{expected}`")),
        (Err(error), None) => return Err(format!("it should have gone well: {}", told(&error))),
        (Err(error), Some(expected)) => (error, expected),
    };
    let text = told(&error);
    if !text.contains(expected) {
        return Err(format!("`{expected}` expected:\n  {text}"));
    }
    let fault = match case.fault.as_deref() {
        Some("input") => Fault::Input,
        Some("upstream") => Fault::Upstream,
        other => panic!("no such fault: {other:?}"),
    };
    if error.fault() != fault {
        return Err(format!("{fault:?} expected, {:?} told", error.fault()));
    }
    if error.hint().is_none() {
        return Err("no hint".to_owned());
    }
    if !world.kept().is_empty() || !world.lock_text().is_empty() {
        return Err(format!(
            "something was kept: {:?} {}",
            world.kept(),
            world.lock_text()
        ));
    }
    Ok(())
}

/// A tree that came through trouble is the tree.
fn whole(tree: &SourceTree) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    members::folder(folder.path(), &["kernel"]);
    let expected = TreeId::of_dir(folder.path()).unwrap();
    if (tree.tree, TreeId::of_dir(&tree.root).unwrap()) != (expected, expected) {
        return Err(format!("{expected} expected, {tree:?} came"));
    }
    Ok(())
}
