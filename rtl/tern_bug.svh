// In a module's body: `bug`, the number of the planted bug that this simulation runs with, 0 without.
// Synthesis and formal proofs see the constant 0.
`ifdef VERILATOR
  // verilator lint_off UNUSEDSIGNAL
  int bug;
  // verilator lint_on UNUSEDSIGNAL
  initial if ($value$plusargs("bug=%d", bug) == 0) bug = 0;
`else
  localparam int bug = 0;
`endif
