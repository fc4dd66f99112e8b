//! What the tests of every page ask: that it is well formed, refers to nothing outside itself, and that text from
//! elsewhere stays text.

/// What somebody might write to see what a page makes of it.
pub(crate) const EVIL: &str = "<script>alert('x')</script>&amp;\"]]><img/src=x onerror=y>";

pub(crate) fn parsed(text: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    roxmltree::Document::parse_with_options(text, options).expect("well formed")
}

/// A page in which [`EVIL`] stands somewhere.
pub(crate) fn assert_harmless(text: &str) {
    for node in parsed(text)
        .descendants()
        .filter(roxmltree::Node::is_element)
    {
        let name = node.tag_name().name();
        let foreign = ["script", "img", "link", "iframe", "object", "base", "form"];
        assert!(!foreign.contains(&name), "{name}");
        for attribute in node.attributes() {
            let name = attribute.name();
            let leads = ["src", "href", "srcset", "style", "action"];
            assert!(!leads.contains(&name) && !name.starts_with("on"), "{name}");
        }
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
    assert!(text.contains("&#60;script&#62;"), "it is there, as text");
}
