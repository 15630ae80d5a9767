// SPDX-License-Identifier: GPL-3.0-or-later
// What tools/cli makes of a tree with all that is awkward in it; that the real one is told whole is
// for test_command_line.py.
#include <gtest/gtest.h>

#include <string>

#include "tools/cli/completion.h"
#include "tools/cli/help.h"
#include "tools/cli/manual.h"
#include "tools/cli/tree.h"

namespace {

using cs::cli::Command;
using cs::cli::Tree;

Tree awkward() {
  return {
      {"tool", "do", "", {}},
      {"tool read",
       "Read it",
       "One.\n.Two's `bold` C:\\a-b.\n  tool read x\n  tool read y\nThree.",
       {{"FILE", "", "FILE", "What's read", true, true},
        {"--in", "-i", "FILE", "It's [a]: b \\ c", true, false},
        {"--way", "", "up|down", "Where to", false, true},
        {"--json", "", "", "Tell it so", false, false}}},
  };
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Tree, TellsHowACommandIsUsed) {
  const Tree tree = awkward();
  EXPECT_EQ(tree[1].usage(), "tool read --in FILE [OPTION]... FILE...");
  EXPECT_EQ(tree[1].name(), "read");
  EXPECT_EQ(tree[1].arguments(), "read");
  EXPECT_EQ(tree[0].arguments(), "");
  ASSERT_EQ(commands_below(tree, tree[0]).size(), 1U);
  EXPECT_TRUE(commands_below(tree, tree[1]).empty());
  EXPECT_EQ((Command{"tool x", "", "", {{"WAY", "", "a|b", "", false, false}}}.usage()),
            "tool x [a|b]");
}

TEST(Help, KeepsTo80ColumnsAndLeavesExamplesAlone) {
  Tree tree = awkward();
  for (int i = 0; i < 40; ++i) tree[1].options[0].help += " word";
  const std::string help = help_text(tree, tree[1]);
  EXPECT_TRUE(has(help, "\n  tool read x\n  tool read y\n\nThree.\n")) << help;
  EXPECT_TRUE(has(help, "  -i, --in FILE           It's [a]: b \\ c\n")) << help;
  std::size_t begin = 0;
  for (std::size_t end = help.find('\n'); end != std::string::npos; end = help.find('\n', begin)) {
    EXPECT_LE(end - begin, 80U) << help.substr(begin, end - begin);
    begin = end + 1;
  }
}

TEST(Manual, IsTextToRoffWhateverIsInIt) {
  const std::string page = manual(awkward(), {{"EXIT STATUS", "'0'"}});
  EXPECT_TRUE(has(page, ".PP\n\\&.Two's \\fBbold\\fR C:\\ea\\-b.\n")) << page;
  EXPECT_TRUE(has(page, ".nf\ntool read x\ntool read y\n.fi\n.RE\n.PP\nThree.\n")) << page;
  EXPECT_TRUE(has(page, ".TP\n\\fB\\-i,\\fR \\fB\\-\\-in\\fR \\fIFILE\\fR\nIt's [a]: b \\e c\n"))
      << page;
  EXPECT_TRUE(has(page, ".SH EXIT STATUS\n.PP\n\\&'0'\n")) << page;
}

TEST(Completion, QuotesAsTheShellWantsIt) {
  EXPECT_TRUE(has(bash_completion(awkward()), "' read --way') words='up down' ;;"));
  EXPECT_TRUE(has(zsh_completion(awkward()), R"('--in=[It'\''s \[a\]\: b \\ c]:FILE:_files')"))
      << zsh_completion(awkward());
  EXPECT_TRUE(has(zsh_completion(awkward()), "'*--way=[Where to]:one of:(up down)'"));
  EXPECT_TRUE(has(fish_completion(awkward()), R"(-l in -s i -r -F -d 'It\'s [a]: b \\ c')"))
      << fish_completion(awkward());
}

}  // namespace
