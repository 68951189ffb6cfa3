// In a module's body: `bug`, the number of the planted bug that this simulation runs with, 0 without.
// Synthesis sees the constant 0, a proof the macro TERN_BUG.
`ifdef VERILATOR
  // verilator lint_off UNUSEDSIGNAL
  int bug;
  // verilator lint_on UNUSEDSIGNAL
  initial if ($value$plusargs("bug=%d", bug) == 0) bug = 0;
`elsif TERN_BUG
  localparam int bug = `TERN_BUG;
`else
  localparam int bug = 0;
`endif
