"""A solver command for halmos: cvc5 on integers, where division is easier than on 256 bits."""

import sys

import cvc5


def main(query: str) -> None:
    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    solver.setOption("produce-models", "true")
    solver.setOption("solve-bv-as-int", "sum")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, query)
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        print(command.invoke(solver, symbols), end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
