// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/toml_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/unwrap.h"

namespace {

using cs::ErrorKind;
using cs::Result;
using cs::TomlFile;
using cs::TomlReader;
using cs::test::get;

Result<std::string> upper(std::string_view text) {
  if (text != "a" && text != "b") return cs::Error(ErrorKind::invalid, "neither a nor b");
  return std::string(text == "a" ? "A" : "B");
}

struct Read {
  unsigned number = 7;
  std::string text;
  bool flag = false;
  int word = 0;
  std::vector<std::string> list;
  std::vector<std::string> inner;
};

Result<Read> read(std::string_view text) {
  const TomlFile file{"f.toml", "the page lists them"};
  CS_TRY(const toml::table table, cs::parse_toml(text, file));
  TomlReader reader(table, file, "");
  Read out;
  reader.number("number", out.number, 1, 9);
  reader.text("text", out.text, 4);
  reader.flag("flag", out.flag);
  reader.word("word", out.word, {{"first", 1}, {"second", 2}, {"third", 3}});
  reader.list("list", out.list, 2, upper);
  reader.table("inner", [&](TomlReader& inner) {
    for (const std::string& name : inner.names()) {
      inner.parsed(name, out.inner.emplace_back(), upper);
    }
  });
  CS_CHECK(reader.finish());
  return out;
}

std::string repeated(const std::string& part, std::size_t count) {
  std::string out = part;
  for (std::size_t i = 1; i < count; ++i) out += "." + part;
  return out;
}

TEST(TomlReader, AKeyOfManyPartsIsRefusedBeforeItIsNested) {
  const TomlFile file{"f.toml", ""};
  for (const std::size_t count : {cs::most_key_parts + 1, std::size_t{200000}}) {
    for (const char* part : {"a", R"("x=\"")", "'#'", " a-_1 \t", "\"\""}) {
      const std::string key = repeated(part, count);
      for (const std::string& text :
           {key + " = 1", "[" + key + "]", "[[" + key + "]]", "x = {" + key + " = 1}"}) {
        const auto parsed = cs::parse_toml("# a.comment\ny = 1\n" + text + "\n", file);
        ASSERT_FALSE(parsed.ok()) << part;
        EXPECT_EQ(parsed.error().kind(), ErrorKind::limit) << part;
        EXPECT_EQ(parsed.error().message(), "f.toml:3: a key has at most 16 parts");
      }
    }
  }
}

// With a text full of dots for each @.
std::string dotted(std::string text) {
  const std::string dots = repeated("a", 100);
  for (std::size_t at = 0; (at = text.find('@', at)) != std::string::npos; at += dots.size())
    text.replace(at, 1, dots);
  return text;
}

TEST(TomlReader, DotsElsewhereAreNoKey) {
  const TomlFile file{"f.toml", ""};
  for (const char* text :
       {"# @\n", "x = \"@\"", "x = '@'", "x = \"\"\"@\n\\\"\"@\"\"\"",
        "x = '''@\n''@'''\ny = [\"@\", 1.5, 1.5]", "x = 1.5\nb.b.b.b.b.b.b.b.b.b.b.b.b.b.b = 1"}) {
    EXPECT_TRUE(cs::parse_toml(dotted(text), file).ok()) << text;
  }
  EXPECT_TRUE(cs::parse_toml(repeated("a", cs::most_key_parts) + " = 1", file).ok());
  for (const char* unended : {"x = \"@", "x = '''@", "x = \"@\\"})
    EXPECT_EQ(cs::parse_toml(dotted(unended), file).error().kind(), ErrorKind::invalid) << unended;
}

TEST(TomlReader, GivesWhatIsThereAndLeavesTheRest) {
  const Read none = get(read(""));
  EXPECT_EQ(none.number, 7U);
  const Read all = get(
      read("number = 9\ntext = \"four\"\nflag = true\nword = \"second\"\nlist = [\"a\", \"b\"]\n"
           "[inner]\nx = \"a\"\n"));
  EXPECT_EQ(all.number, 9U);
  EXPECT_EQ(all.text, "four");
  EXPECT_TRUE(all.flag);
  EXPECT_EQ(all.word, 2);
  EXPECT_EQ(all.list, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(all.inner, (std::vector<std::string>{"A"}));
}

TEST(TomlReader, TellsWhereAndWhatWasMeant) {
  const auto refused = [](std::string_view text) {
    const auto done = read(text);
    return done.ok() ? "" : done.error().message();
  };
  EXPECT_EQ(refused("number = 10\n"), "f.toml:1:10: number has to be a whole number from 1 to 9");
  EXPECT_EQ(refused("number = \"1\"\n").find("f.toml:1:10: number has to be"), 0U);
  EXPECT_EQ(refused("text = \"fives\"\n"), "f.toml:1:8: text has to be a text of 1 to 4 bytes");
  EXPECT_EQ(refused("flag = 1\n"), "f.toml:1:8: flag has to be true or false");
  EXPECT_EQ(refused("word = \"secnod\"\n"),
            "f.toml:1:8: word has to be \"first\", \"second\" or \"third\"; did you mean "
            "\"second\"?");
  EXPECT_EQ(refused("list = [\"a\", \"c\"]\n"),
            "f.toml:1:14: list has to be right: neither a nor b");
  EXPECT_EQ(refused("list = [\"a\", \"a\", \"a\"]\n"),
            "f.toml:1:8: list has to be a list of up to 2 texts");
  EXPECT_EQ(refused("inner = 1\n"), "f.toml:1:9: inner has to be a table");
  EXPECT_EQ(refused("\n[inner]\nx = 2\n"), "f.toml:3:5: inner.x has to be right: neither a nor b");
  EXPECT_EQ(refused("wrod = \"first\"\n"),
            "f.toml:1:1: no field is called \"wrod\"; did you mean \"word\"? the page lists them");
  EXPECT_EQ(refused("nonsense = 1\n"),
            "f.toml:1:1: no field is called \"nonsense\"; the page lists them");
  EXPECT_EQ(refused("a = \n").find("f.toml:1:5: "), 0U);
}

}  // namespace
