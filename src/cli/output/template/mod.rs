//! The Go templates of `--format`, as far as docker's users write them.
//!
//! Fields, pipelines, `if`, `range`, `with`, variables, docker's functions
//! (`json`, `join`, `upper`, …) and Go's (`printf`, `eq`, `index`, …). Not:
//! `define`, `block`, `break`, method calls beyond `.Label`.

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;

use serde_json::Value;

/// A template that doesn't hold or doesn't fit its data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: template: :1: {0}")]
pub(crate) struct Error(String);

/// A parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Parses a template. `\t` and `\n` written out are meant as such.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self {
            nodes: parse::parse(&lex::lex(&text)?)?,
        })
    }

    /// Fills it with one value.
    pub(crate) fn render(&self, data: &Value) -> Result<String, Error> {
        let mut out = String::new();
        eval::run(&self.nodes, data, &mut eval::Scope::new(data), &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, data: &Value) -> String {
        Template::parse(template).unwrap().render(data).unwrap()
    }

    fn row() -> Value {
        json!({
            "Name": "shop-web-1",
            "ExitCode": 3,
            "Labels": "a=1,b=2",
            "State": "running",
            "Publishers": [{"URL": "0.0.0.0", "PublishedPort": 8080}, {"URL": "", "PublishedPort": 0}],
            "Empty": "",
            "List": ["x", "y"],
        })
    }

    #[test]
    fn fields_and_text() {
        assert_eq!(
            render("{{.Name}}: {{ .State }}!", &row()),
            "shop-web-1: running!"
        );
        assert_eq!(render(r"{{.Name}}\t{{.ExitCode}}", &row()), "shop-web-1\t3");
        assert_eq!(render("a {{- .Name -}} b", &row()), "ashop-web-1b");
        assert_eq!(render("{{/* nothing */}}x", &row()), "x");
    }

    #[test]
    fn json_keeps_the_order() {
        assert_eq!(
            render("{{json .Publishers}}", &row()),
            r#"[{"URL":"0.0.0.0","PublishedPort":8080},{"URL":"","PublishedPort":0}]"#
        );
        assert_eq!(
            render("{{ json .}}", &json!({"b": 1, "a": "x"})),
            r#"{"b":1,"a":"x"}"#
        );
        assert_eq!(render("{{.Name | json}}", &row()), "\"shop-web-1\"");
    }

    #[test]
    fn functions_of_docker() {
        assert_eq!(
            render("{{upper .State}}{{lower \"AB\"}}{{title \"ab\"}}", &row()),
            "RUNNINGabAb"
        );
        assert_eq!(render("{{join .List \"-\"}}", &row()), "x-y");
        assert_eq!(
            render("{{truncate .Name 4}}{{pad .State 1 2}}|", &row()),
            "shop running  |"
        );
        assert_eq!(render("{{index (split .Name \"-\") 1}}", &row()), "web");
        assert_eq!(render("{{.Label \"b\"}}{{.Label \"no\"}}", &row()), "2");
    }

    #[test]
    fn functions_of_go() {
        assert_eq!(
            render(
                "{{printf \"%s=%03d %q %v\" .Name .ExitCode .State true}}",
                &row()
            ),
            "shop-web-1=003 \"running\" true"
        );
        assert_eq!(render("{{len .Publishers}} {{len .Name}}", &row()), "2 10");
        assert_eq!(render("{{println .Name}}", &row()), "shop-web-1\n");
        assert_eq!(render("{{print 1 2 \"x\"}}", &row()), "1 2x");
        assert_eq!(
            render(
                "{{eq .State \"exited\" \"running\"}} {{ne 1 2}} {{lt 1 2}}",
                &row()
            ),
            "true true true"
        );
        assert_eq!(
            render(
                "{{and .Name .Empty}}|{{or .Empty .Name}}|{{not .Empty}}",
                &row()
            ),
            "|shop-web-1|true"
        );
    }

    #[test]
    fn variables() {
        let data = json!({"Networks": {"b": {"IP": "2"}, "a": {"IP": "1"}}, "List": ["x", "y"], "Name": "n"});
        assert_eq!(
            render(
                "{{range $k, $v := .Networks}}{{$k}}={{$v.IP}} {{end}}",
                &data
            ),
            "a=1 b=2 "
        );
        assert_eq!(
            render("{{range $i, $e := .List}}{{$i}}{{$e}}{{end}}", &data),
            "0x1y"
        );
        assert_eq!(
            render("{{range $e := .List}}{{$e}}{{.}}{{end}}", &data),
            "xxyy"
        );
        assert_eq!(
            render("{{$n := .Name}}{{range .List}}{{$n}}{{.}}{{end}}", &data),
            "nxny"
        );
        assert_eq!(
            render("{{$n := 1}}{{range .List}}{{$n = .}}{{end}}{{$n}}", &data),
            "y"
        );
        assert_eq!(
            render("{{with $n := .Name}}{{$n}}{{$.Name}}{{end}}", &data),
            "nn"
        );
        for (bad, words) in [
            ("{{$no}}", "undefined variable \"$no\""),
            (
                "{{if .Name}}{{$x := 1}}{{end}}{{$x}}",
                "undefined variable \"$x\"",
            ),
            (
                "{{range $a, $b, $c := .List}}{{end}}",
                "too many declarations",
            ),
            ("{{$a, := 1}}", "unexpected"),
        ] {
            let result = Template::parse(bad).and_then(|template| template.render(&data));
            assert!(result.unwrap_err().to_string().contains(words), "{bad}");
        }
    }

    #[test]
    fn parts_of_texts_and_lists() {
        let data = json!({"ID": "0123456789", "List": ["x", "y", "z"]});
        assert_eq!(
            render("{{slice .ID 0 4}} {{slice .ID 8}}", &data),
            "0123 89"
        );
        assert_eq!(render("{{json (slice .List 1)}}", &data), r#"["y","z"]"#);
        let bad = Template::parse("{{slice .ID 4 99}}").unwrap();
        assert!(bad.render(&data).is_err());
    }

    #[test]
    fn blocks() {
        assert_eq!(
            render(
                "{{range .Publishers}}{{if .PublishedPort}}{{.URL}}:{{.PublishedPort}} {{else}}none{{end}}{{end}}",
                &row()
            ),
            "0.0.0.0:8080 none"
        );
        assert_eq!(
            render(
                "{{range $.Nope}}x{{else}}empty{{end}}",
                &json!({"Nope": []})
            ),
            "empty"
        );
        assert_eq!(
            render("{{with .State}}<{{.}} {{$.Name}}>{{end}}", &row()),
            "<running shop-web-1>"
        );
        assert_eq!(
            render(
                "{{if eq .State \"a\"}}1{{else if eq .State \"running\"}}2{{else}}3{{end}}",
                &row()
            ),
            "2"
        );
    }

    #[test]
    fn what_does_not_hold_is_told() {
        for (template, words) in [
            ("{{.Name", "unclosed action"),
            ("{{nope .}}", "function \"nope\" not defined"),
            ("{{if .Name}}", "unexpected EOF"),
            ("{{end}}", "unexpected {{end}}"),
            ("{{.Name | }}", "missing value for command"),
            ("{{\"x}}", "unterminated quoted string"),
            ("{{}}", "missing value for command"),
            ("{{(.Name}}", "unclosed left paren"),
        ] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(words), "{template}: {error}");
        }
        let error = Template::parse("{{.Nope}}")
            .unwrap()
            .render(&row())
            .unwrap_err();
        assert!(
            error.to_string().contains("can't evaluate field Nope"),
            "{error}"
        );
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = format!("{{{{{}.{}}}}}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Template::parse(&deep).is_err());
        let deep = "{{if .}}".repeat(10_000);
        assert!(Template::parse(&deep).is_err());
    }
}
