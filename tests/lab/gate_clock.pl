#!/usr/bin/perl
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs a command, and tells how many milliseconds after it had begun the gate's rules were changed so that
# a line of `nft monitor` fits the pattern.
use strict;
use warnings;
use Time::HiRes qw(sleep time);

my ($pattern, @command) = @ARGV;
my $pid = open(my $monitor, "-|", "nft", "monitor") or die "nft monitor: $!";
sleep(1.5);    # until it listens
my $begun = time();
my $failed = sub { kill("TERM", $pid); die @_ };
system(@command) == 0 or $failed->("@command: $?\n");
local $SIG{ALRM} = sub { $failed->("nothing that fits in 20 s\n") };
alarm(20);
while (my $line = <$monitor>) {
  next unless $line =~ /$pattern/;
  printf("%.0f\n", 1000 * (time() - $begun));
  last;
}
kill("TERM", $pid);
